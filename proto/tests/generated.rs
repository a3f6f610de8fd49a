//! The checked-in types and the descriptor set are those of the `.proto` files.
#![expect(clippy::expect_used, reason = "helpers of a test")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const PROTOS: [&str; 7] = [
    "common",
    "detected",
    "evidence",
    "diagnosed",
    "acted",
    "notified",
    "incidents",
];
/// A message inside another, which is shared and not copied.
const EMBEDDED: &str = ".bonesetter.v1.SignedMessage.payload";
const GENERATED: &str = "src/generated";
const TYPES: &str = "bonesetter.v1.rs";
const SERVICES: &str = "bonesetter.v1.grpc.rs";
const DESCRIPTORS: &str = "descriptor.bin";

fn descriptors() -> FileDescriptorSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let files: Vec<PathBuf> = PROTOS
        .iter()
        .map(|name| root.join(format!("bonesetter/v1/{name}.proto")))
        .collect();
    protox::compile(files, [&root]).expect("the .proto files compile")
}

fn types(descriptors: FileDescriptorSet) -> Vec<u8> {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    prost_build::Config::new()
        .out_dir(scratch.path())
        .enable_type_names()
        .btree_map(["."])
        .bytes([EMBEDDED])
        .compile_fds(descriptors)
        .expect("code generation succeeds");
    fs::read(scratch.path().join(TYPES)).expect("one file per package")
}

/// Clients and servers, apart from the types, which everybody uses.
fn services(descriptors: FileDescriptorSet) -> Vec<u8> {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    prost_build::Config::new()
        .out_dir(scratch.path())
        .extern_path(".bonesetter.v1", "crate::v1")
        .service_generator(tonic_prost_build::configure().service_generator())
        .compile_fds(descriptors)
        .expect("code generation succeeds");
    fs::read(scratch.path().join(TYPES)).expect("one file per package")
}

/// For programs, which need no comments.
fn without_comments(mut descriptors: FileDescriptorSet) -> Vec<u8> {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors.encode_to_vec()
}

fn check(name: &str, fresh: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(GENERATED)
        .join(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's switch, not configuration"
    )]
    if env::var("BLESS").is_ok() {
        fs::write(&path, fresh).expect("the generated file is writable");
    }
    let checked_in = fs::read(&path).unwrap_or_default();
    assert!(
        checked_in == fresh,
        "{} is stale; run: BLESS=1 cargo test -p bonesetter-proto --test generated",
        path.display()
    );
}

#[test]
fn what_is_checked_in_matches_the_proto_files() {
    check(TYPES, &types(descriptors()));
    check(SERVICES, &services(descriptors()));
    check(DESCRIPTORS, &without_comments(descriptors()));
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
