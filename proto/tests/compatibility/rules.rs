use std::collections::BTreeMap;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

/// Everything that a reader or writer of `old` would find changed in `new`.
pub(crate) fn violations(old: &FileDescriptorSet, new: &FileDescriptorSet) -> Vec<String> {
    let (old, new) = (Types::of(old), Types::of(new));
    let mut found = Vec::new();
    for (name, message) in &old.messages {
        match new.messages.get(name) {
            Some(now) => messages(name, message, now, &mut found),
            None => found.push(format!("{name}: is gone")),
        }
    }
    for (name, enumeration) in &old.enums {
        match new.enums.get(name) {
            Some(now) => enums(name, enumeration, now, &mut found),
            None => found.push(format!("{name}: is gone")),
        }
    }
    for (name, method) in &old.methods {
        match new.methods.get(name) {
            Some(now) if shape(method) == shape(now) => {}
            Some(_) => found.push(format!("{name}: takes or returns something else")),
            None => found.push(format!("{name}: is gone")),
        }
    }
    found
}

/// What a set defines, by full name.
#[derive(Default)]
struct Types<'a> {
    messages: BTreeMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
    methods: BTreeMap<String, &'a MethodDescriptorProto>,
}

impl<'a> Types<'a> {
    fn of(set: &'a FileDescriptorSet) -> Self {
        let mut types = Self::default();
        for file in &set.file {
            let package = file.package();
            for message in &file.message_type {
                types.add(package, message);
            }
            types.add_enums(package, &file.enum_type);
            for service in &file.service {
                types.add_methods(package, service);
            }
        }
        types
    }

    fn add(&mut self, parent: &str, message: &'a DescriptorProto) {
        let name = format!("{parent}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        self.add_enums(&name, &message.enum_type);
        self.messages.insert(name, message);
    }

    fn add_enums(&mut self, parent: &str, enums: &'a [EnumDescriptorProto]) {
        for enumeration in enums {
            self.enums
                .insert(format!("{parent}.{}", enumeration.name()), enumeration);
        }
    }

    fn add_methods(&mut self, package: &str, service: &'a ServiceDescriptorProto) {
        for method in &service.method {
            let name = format!("{package}.{}.{}", service.name(), method.name());
            self.methods.insert(name, method);
        }
    }
}

fn messages(name: &str, old: &DescriptorProto, new: &DescriptorProto, found: &mut Vec<String>) {
    for field in &old.field {
        let name = format!("{name}.{}", field.name());
        match new.field.iter().find(|it| it.number() == field.number()) {
            Some(now) => fields(&name, (old, field), (new, now), found),
            None => match new.field.iter().find(|it| it.name() == field.name()) {
                Some(now) => found.push(format!(
                    "{name}: is field {}, was {}",
                    now.number(),
                    field.number()
                )),
                None if is_reserved(new, field) => {}
                None => found.push(gone(&name)),
            },
        }
    }
    for number in reserved(old) {
        if !reserved(new).any(|it| it == number) {
            found.push(format!("{name}: number {number} is no longer reserved"));
        }
    }
}

type Member<'a> = (&'a DescriptorProto, &'a FieldDescriptorProto);

fn fields(name: &str, (in_old, old): Member, (in_new, new): Member, found: &mut Vec<String>) {
    if old.name() != new.name() {
        found.push(format!("{name}: is called {} now", new.name()));
    } else if old.json_name() != new.json_name() {
        found.push(format!("{name}: has another name in JSON"));
    }
    let kind = |field: &FieldDescriptorProto| {
        let presence = field.proto3_optional();
        (field.r#type, field.label, field.type_name.clone(), presence)
    };
    if kind(old) != kind(new) {
        found.push(format!(
            "{name}: type changed from {:?} to {:?}",
            kind(old),
            kind(new)
        ));
    } else if oneof(in_old, old) != oneof(in_new, new) {
        found.push(format!("{name}: has moved into or out of a oneof"));
    }
}

fn oneof<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let index = usize::try_from(field.oneof_index?).ok()?;
    Some(message.oneof_decl.get(index)?.name())
}

/// Ends are exclusive for messages.
fn reserved(message: &DescriptorProto) -> impl Iterator<Item = i32> {
    let ranges = message.reserved_range.iter();
    // `reserved 1000 to max` is as well described by its beginning.
    ranges.flat_map(|range| range.start()..range.end().min(range.start() + 1000))
}

fn is_reserved(message: &DescriptorProto, field: &FieldDescriptorProto) -> bool {
    reserved(message).any(|number| number == field.number())
        && message.reserved_name.iter().any(|it| it == field.name())
}

fn enums(
    name: &str,
    old: &EnumDescriptorProto,
    new: &EnumDescriptorProto,
    found: &mut Vec<String>,
) {
    for value in &old.value {
        let name = format!("{name}.{}", value.name());
        match new.value.iter().find(|it| it.number() == value.number()) {
            Some(now) if now.name() == value.name() => {}
            Some(now) => found.push(format!("{name}: is called {} now", now.name())),
            None if is_reserved_value(new, value) => {}
            None => found.push(gone(&name)),
        }
    }
}

/// Ends are inclusive for enumerations.
fn is_reserved_value(new: &EnumDescriptorProto, value: &EnumValueDescriptorProto) -> bool {
    let mut ranges = new.reserved_range.iter();
    ranges.any(|range| (range.start()..=range.end()).contains(&value.number()))
        && new.reserved_name.iter().any(|it| it == value.name())
}

fn gone(name: &str) -> String {
    format!("{name}: is gone and not reserved, number and name")
}

fn shape(method: &MethodDescriptorProto) -> (&str, &str, bool, bool) {
    (
        method.input_type(),
        method.output_type(),
        method.client_streaming(),
        method.server_streaming(),
    )
}
