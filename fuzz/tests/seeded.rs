//! Every target over inputs that are drawn, the same in every run.

use bonesetter_fuzz::TARGETS;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const INPUTS: u64 = 60;
const LONGEST: usize = 400;

#[test]
fn the_laws_hold_for_inputs_that_are_drawn() {
    for (name, target) in TARGETS {
        for seed in 0..INPUTS {
            let mut random = StdRng::seed_from_u64(seed);
            let mut bytes = vec![0; random.random_range(0..LONGEST)];
            random.fill(&mut bytes[..]);
            let held = std::panic::catch_unwind(|| target(&bytes));
            assert!(held.is_ok(), "{name} stopped with seed {seed}");
        }
    }
}
