//! The checked-in types are those of the `.proto` files.
#![expect(clippy::expect_used, reason = "helpers of a test")]

use std::path::{Path, PathBuf};
use std::{env, fs};

const PROTOS: [&str; 6] = [
    "common",
    "detected",
    "evidence",
    "diagnosed",
    "acted",
    "notified",
];
const GENERATED: &str = "src/generated/bonesetter.v1.rs";

fn generate(into: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let files: Vec<PathBuf> = PROTOS
        .iter()
        .map(|name| root.join(format!("bonesetter/v1/{name}.proto")))
        .collect();
    let descriptors = protox::compile(files, [&root]).expect("the .proto files compile");
    prost_build::Config::new()
        .out_dir(into)
        .enable_type_names()
        .btree_map(["."])
        .compile_fds(descriptors)
        .expect("code generation succeeds");
    fs::read_to_string(into.join("bonesetter.v1.rs")).expect("one file per package")
}

#[test]
fn checked_in_types_match_the_proto_files() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let fresh = generate(scratch.path());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GENERATED);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's switch, not configuration"
    )]
    if env::var("BLESS").is_ok() {
        fs::write(&path, &fresh).expect("the generated file is writable");
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == fresh,
        "{GENERATED} is stale; run: BLESS=1 cargo test -p bonesetter-proto --test generated"
    );
}

#[test]
fn every_proto_file_is_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos/bonesetter/v1");
    let mut found: Vec<String> = fs::read_dir(folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("readable").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    let mut listed = PROTOS.map(str::to_owned);
    listed.sort();
    assert_eq!(found, listed);
}
