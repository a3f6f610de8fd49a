//! Numbers whose last digit is what a weighted sum of the others leaves when it is divided.

use crate::national::Scheme;

/// A weighted sum of all digits but the last, and how what it leaves becomes the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    /// The last one is that of the digit before the last; the longest number has all of them.
    weights: &'static [u32],
    /// Tried if the digit would be ten.
    second_weights: &'static [u32],
    start: u32,
    modulus: u32,
    last: Last,
    /// What ten becomes. If it stays ten, no digit is the right one.
    ten: u32,
    shortest: usize,
    /// How many digits at most follow, which the sum says nothing about.
    trailing: usize,
}

/// How what is left becomes the last digit.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// As it is.
    Rest,
    /// What is missing to the next multiple of the modulus.
    Missing,
    /// The last digit of what is missing, which is the whole modulus if nothing is left.
    DigitOfMissing,
}

const fn sum(modulus: u32, weights: &'static [u32], last: Last) -> Sum {
    Sum {
        weights,
        second_weights: &[],
        start: 0,
        modulus,
        last,
        ten: 10,
        shortest: weights.len() + 1,
        trailing: 0,
    }
}

const fn rest(modulus: u32, weights: &'static [u32]) -> Sum {
    sum(modulus, weights, Last::Rest)
}

const fn missing(modulus: u32, weights: &'static [u32]) -> Sum {
    sum(modulus, weights, Last::Missing)
}

const fn digit_of_missing(modulus: u32, weights: &'static [u32]) -> Sum {
    sum(modulus, weights, Last::DigitOfMissing)
}

impl Sum {
    const fn ten(self, ten: u32) -> Self {
        Self { ten, ..self }
    }

    const fn second(self, second_weights: &'static [u32]) -> Self {
        Self {
            second_weights,
            ..self
        }
    }

    const fn start(self, start: u32) -> Self {
        Self { start, ..self }
    }

    const fn shortest(self, shortest: usize) -> Self {
        Self { shortest, ..self }
    }

    const fn trailing(self, trailing: usize) -> Self {
        Self { trailing, ..self }
    }

    const fn longest(&self) -> usize {
        self.weights.len() + 1
    }

    fn holds(&self, digits: &[u32]) -> bool {
        let Some((last, others)) = digits.split_last() else {
            return false;
        };
        let expected = |weights: &[u32]| {
            let first = weights.len().saturating_sub(others.len());
            let rest = (self.start + weighted(others, &weights[first..])) % self.modulus;
            match self.last {
                Last::Rest => rest,
                Last::Missing => (self.modulus - rest) % self.modulus,
                Last::DigitOfMissing => (self.modulus - rest) % 10,
            }
        };
        let digit = match expected(self.weights) {
            10 if !self.second_weights.is_empty() => expected(self.second_weights),
            digit => digit,
        };
        *last == if digit == 10 { self.ten } else { digit }
    }
}

/// The sums that must hold for a number, each over its first digits.
const SUMS: &[(Scheme, &[Sum])] = &[
    (
        Scheme::ArCuit,
        &[missing(11, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]).ten(9)],
    ),
    // The check digit is the fourth: these are weights by which the last one follows from it.
    (Scheme::AtSvnr, &[rest(11, &[5, 8, 4, 2, 1, 6, 3, 7, 9])]),
    (Scheme::AuAcn, &[missing(10, &[8, 7, 6, 5, 4, 3, 2, 1])]),
    // The number of the card may follow, and that of a person on it.
    (
        Scheme::AuMedicare,
        &[rest(10, &[1, 3, 7, 9, 1, 3, 7, 9]).trailing(2)],
    ),
    (Scheme::AuTfn, &[rest(11, &[1, 4, 3, 7, 5, 8, 6, 9])]),
    (
        Scheme::BgEgn,
        &[rest(11, &[2, 4, 8, 5, 10, 9, 7, 3, 6]).ten(0)],
    ),
    (
        Scheme::BgLnch,
        &[rest(10, &[21, 19, 17, 13, 11, 9, 7, 3, 1])],
    ),
    (
        Scheme::BrCnpj,
        &[
            missing(11, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]).ten(0),
            missing(11, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]).ten(0),
        ],
    ),
    (
        Scheme::BrCpf,
        &[
            missing(11, &[10, 9, 8, 7, 6, 5, 4, 3, 2]).ten(0),
            missing(11, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]).ten(0),
        ],
    ),
    (
        Scheme::Ch,
        &[missing(10, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3])],
    ),
    (
        Scheme::Cl,
        &[missing(11, &[3, 2, 7, 6, 5, 4, 3, 2]).shortest(8)],
    ),
    (
        Scheme::Cn,
        &[missing(11, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]).start(10)],
    ),
    (
        Scheme::Co,
        &[missing(
            11,
            &[71, 67, 59, 53, 47, 43, 41, 37, 29, 23, 19, 17, 13, 7, 3],
        )
        .ten(1)
        .shortest(9)],
    ),
    (Scheme::DkCvr, &[missing(11, &[2, 7, 6, 5, 4, 3, 2])]),
    (
        Scheme::Ee,
        &[rest(11, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1])
            .second(&[3, 4, 5, 6, 7, 8, 9, 1, 2, 3])
            .ten(0)],
    ),
    (Scheme::Gb, &[missing(11, &[10, 9, 8, 7, 6, 5, 4, 3, 2])]),
    (
        Scheme::GrAfm,
        &[rest(11, &[256, 128, 64, 32, 16, 8, 4, 2]).ten(0)],
    ),
    (Scheme::Hk, &[missing(11, &[9, 8, 7, 6, 5, 4, 3, 2])]),
    (Scheme::HuAdo, &[rest(11, &[1, 2, 3, 4, 5, 6, 7, 8, 9])]),
    (Scheme::HuTaj, &[rest(10, &[3, 7, 3, 7, 3, 7, 3, 7])]),
    // The century follows.
    (
        Scheme::Is,
        &[missing(11, &[3, 2, 7, 6, 5, 4, 3, 2]).trailing(1)],
    ),
    (
        Scheme::Jmbg,
        &[missing(11, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]).ten(0)],
    ),
    (
        Scheme::Jp,
        &[missing(11, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]).ten(0)],
    ),
    (
        Scheme::KrRrn,
        &[digit_of_missing(11, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5])],
    ),
    (
        Scheme::Kz,
        &[rest(11, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
            .second(&[3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2])],
    ),
    (
        Scheme::Lv,
        &[rest(11, &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9]).start(1).ten(0)],
    ),
    (
        Scheme::Md,
        &[rest(10, &[7, 3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1])],
    ),
    (
        Scheme::MxCurp,
        &[missing(
            10,
            &[18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2],
        )],
    ),
    (
        Scheme::MxRfc,
        &[missing(11, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2])],
    ),
    (Scheme::Nl, &[rest(11, &[9, 8, 7, 6, 5, 4, 3, 2])]),
    (
        Scheme::No,
        &[
            missing(11, &[3, 7, 6, 1, 8, 9, 4, 5, 2]),
            missing(11, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]),
        ],
    ),
    (Scheme::NoOrg, &[missing(11, &[3, 2, 7, 6, 5, 4, 3, 2])]),
    (
        Scheme::NzIrd,
        &[missing(11, &[3, 2, 7, 6, 5, 4, 3, 2])
            .second(&[7, 4, 3, 2, 5, 2, 7, 6])
            .shortest(8)],
    ),
    (
        Scheme::Pe,
        &[digit_of_missing(11, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])],
    ),
    (Scheme::Pl, &[missing(10, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3])]),
    (Scheme::PlNip, &[rest(11, &[6, 5, 7, 2, 3, 4, 5, 6, 7])]),
    (
        Scheme::PtNif,
        &[missing(11, &[9, 8, 7, 6, 5, 4, 3, 2]).ten(0)],
    ),
    (
        Scheme::RoCnp,
        &[rest(11, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]).ten(1)],
    ),
    (
        Scheme::RuInn,
        &[
            rest(11, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]).ten(0),
            rest(11, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]).ten(0),
        ],
    ),
    (
        Scheme::RuInnFirm,
        &[rest(11, &[2, 4, 10, 3, 5, 9, 4, 6, 8]).ten(0)],
    ),
    (Scheme::Si, &[missing(11, &[8, 7, 6, 5, 4, 3, 2]).ten(0)]),
    (
        Scheme::Th,
        &[digit_of_missing(
            11,
            &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2],
        )],
    ),
    (Scheme::Tw, &[missing(10, &[1, 9, 8, 7, 6, 5, 4, 3, 2, 1])]),
    (
        Scheme::Ua,
        &[rest(11, &[10, 5, 7, 9, 4, 6, 10, 5, 7]).ten(0)],
    ),
    (
        Scheme::UyCi,
        &[missing(10, &[2, 9, 8, 7, 6, 3, 4]).shortest(7)],
    ),
    (
        Scheme::UyRut,
        &[missing(11, &[4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])],
    ),
];

/// The sums of a scheme.
pub(super) fn of(scheme: Scheme) -> Option<&'static [Sum]> {
    let mut all = SUMS.iter();
    all.find(|(of, _)| *of == scheme).map(|(_, sums)| *sums)
}

/// Whether a number is as long as these sums are made for, and all of them hold. Without any they do.
pub(super) fn hold(sums: &[Sum], digits: &[u32]) -> bool {
    let (Some(shortest), Some(longest)) = (
        sums.iter().map(|sum| sum.shortest).max(),
        sums.iter().map(|sum| sum.longest() + sum.trailing).max(),
    ) else {
        return true;
    };
    (shortest..=longest).contains(&digits.len())
        && sums.iter().all(|sum| {
            let length = sum.longest().min(digits.len());
            sum.holds(&digits[..length])
        })
}

pub(super) fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}
