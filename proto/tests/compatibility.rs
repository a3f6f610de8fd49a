//! The contract is only extended: what a released version could read and write means the same today.
//!
//! `golden/<version>/descriptor.bin` is the descriptor set of a release. It is written once
//! (`BLESS=1` writes the one that is missing) and never again. The golden messages beside it show
//! that old bytes decode; this shows that everything else which a subscriber may rest on still
//! stands: numbers, types and names (tools read messages as JSON, which is made of names), members of
//! oneofs, values of enumerations, methods. What is taken away must be `reserved`, number and name.
#![expect(clippy::expect_used, reason = "helpers of a test")]

#[path = "compatibility/rules.rs"]
mod rules;

use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto, descriptor_proto, enum_descriptor_proto,
};
use rules::violations;

/// The release that `BLESS=1` writes a descriptor set for.
const VERSION: &str = "0.1";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn current() -> FileDescriptorSet {
    FileDescriptorSet::decode(bonesetter_proto::DESCRIPTOR_SET).expect("a descriptor set")
}

#[test]
fn every_release_is_only_extended() {
    let path = golden().join(VERSION).join("descriptor.bin");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's switch, not configuration"
    )]
    if env::var("BLESS").is_ok() && !path.exists() {
        fs::write(&path, bonesetter_proto::DESCRIPTOR_SET).expect("the folder is writable");
    }
    let mut releases = 0;
    for entry in fs::read_dir(golden()).expect("the folder exists") {
        let folder = entry.expect("readable").path();
        if !folder.is_dir() {
            continue;
        }
        let bytes = fs::read(folder.join("descriptor.bin")).expect("every release has one");
        let released = FileDescriptorSet::decode(&bytes[..]).expect("a descriptor set");
        let found = violations(&released, &current());
        assert!(
            found.is_empty(),
            "what {} wrote or reads would mean something else: {found:#?}",
            folder.display()
        );
        releases += 1;
    }
    assert!(releases > 0);
}

fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        r#type: Some(kind.into()),
        json_name: Some(name.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn value(name: &str, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    }
}

/// `message M { message N { string x = 1; } string a = 1; oneof o { uint32 b = 2; } reserved 9; }`,
/// `enum E { E_ZERO = 0; E_ONE = 1; }`, `service S { rpc Get(M) returns (M); }`
fn example() -> FileDescriptorProto {
    let inner = DescriptorProto {
        name: Some("N".to_owned()),
        field: vec![field("x", 1, Type::String)],
        ..DescriptorProto::default()
    };
    let member = FieldDescriptorProto {
        oneof_index: Some(0),
        ..field("b", 2, Type::Uint32)
    };
    let message = DescriptorProto {
        name: Some("M".to_owned()),
        field: vec![field("a", 1, Type::String), member],
        nested_type: vec![inner],
        oneof_decl: vec![OneofDescriptorProto {
            name: Some("o".to_owned()),
            ..OneofDescriptorProto::default()
        }],
        reserved_range: vec![descriptor_proto::ReservedRange {
            start: Some(9),
            end: Some(10),
        }],
        ..DescriptorProto::default()
    };
    let enumeration = EnumDescriptorProto {
        name: Some("E".to_owned()),
        value: vec![value("E_ZERO", 0), value("E_ONE", 1)],
        ..EnumDescriptorProto::default()
    };
    let method = MethodDescriptorProto {
        name: Some("Get".to_owned()),
        input_type: Some(".p.M".to_owned()),
        output_type: Some(".p.M".to_owned()),
        ..MethodDescriptorProto::default()
    };
    FileDescriptorProto {
        package: Some("p".to_owned()),
        message_type: vec![message],
        enum_type: vec![enumeration],
        service: vec![ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: vec![method],
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

type Change = fn(&mut FileDescriptorProto);

fn after(change: Change) -> Vec<String> {
    let of = |file| FileDescriptorSet { file: vec![file] };
    let mut changed = example();
    change(&mut changed);
    violations(&of(example()), &of(changed))
}

#[test]
fn additions_and_what_is_reserved_are_allowed() {
    let allowed: [(&str, Change); 6] = [
        ("nothing", |_| {}),
        ("a field", |file| {
            file.message_type[0].field.push(field("c", 3, Type::Double));
        }),
        ("a member of a oneof", |file| {
            let mut member = field("c", 3, Type::Double);
            member.oneof_index = Some(0);
            file.message_type[0].field.push(member);
        }),
        ("a message, a value and a method", |file| {
            file.message_type.push(DescriptorProto::default());
            file.enum_type[0].value.push(value("E_TWO", 2));
            file.service[0]
                .method
                .push(MethodDescriptorProto::default());
        }),
        ("a field removed and reserved", |file| {
            let message = &mut file.message_type[0];
            message.field.remove(0);
            message.reserved_name.push("a".to_owned());
            message
                .reserved_range
                .push(descriptor_proto::ReservedRange {
                    start: Some(1),
                    end: Some(2),
                });
        }),
        ("a value removed and reserved", |file| {
            let enumeration = &mut file.enum_type[0];
            enumeration.value.pop();
            enumeration.reserved_name.push("E_ONE".to_owned());
            let range = enum_descriptor_proto::EnumReservedRange {
                start: Some(1),
                end: Some(1),
            };
            enumeration.reserved_range.push(range);
        }),
    ];
    for (what, change) in allowed {
        assert_eq!(after(change), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn everything_else_is_found_and_named() {
    let forbidden: [(&str, Change); 15] = [
        ("p.M.a: is field 4, was 1", |file| {
            file.message_type[0].field[0].number = Some(4);
        }),
        ("p.M.a: type changed", |file| {
            file.message_type[0].field[0].r#type = Some(Type::Bytes.into());
        }),
        ("p.M.a: type changed", |file| {
            file.message_type[0].field[0].label = Some(3);
        }),
        ("p.M.a: type changed", |file| {
            file.message_type[0].field[0].proto3_optional = Some(true);
        }),
        ("p.M.a: is gone and not reserved", |file| {
            file.message_type[0].field.remove(0);
        }),
        ("p.M.a: is gone and not reserved", |file| {
            let message = &mut file.message_type[0];
            message.field.remove(0);
            message.reserved_name.push("a".to_owned());
        }),
        ("p.M.a: is called z now", |file| {
            file.message_type[0].field[0].name = Some("z".to_owned());
        }),
        ("p.M.a: has another name in JSON", |file| {
            file.message_type[0].field[0].json_name = Some("A".to_owned());
        }),
        ("p.M.b: has moved into or out of a oneof", |file| {
            file.message_type[0].field[1].oneof_index = None;
        }),
        ("p.M: number 9 is no longer reserved", |file| {
            file.message_type[0].reserved_range.clear();
        }),
        ("p.M.N: is gone", |file| {
            file.message_type[0].nested_type.clear();
        }),
        ("p.E.E_ONE: is gone and not reserved", |file| {
            file.enum_type[0].value.pop();
        }),
        ("p.E.E_ONE: is called E_TWO now", |file| {
            file.enum_type[0].value[1].name = Some("E_TWO".to_owned());
        }),
        ("p.S.Get: takes or returns something else", |file| {
            file.service[0].method[0].server_streaming = Some(true);
        }),
        ("p.S.Get: is gone", |file| file.service[0].method.clear()),
    ];
    for (expected, change) in forbidden {
        let found = after(change);
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{expected}: {found:?}"
        );
    }
}
