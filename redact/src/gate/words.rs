//! When the words and literals that the gate looks for count.

use crate::carrier::words::is_glued;
use crate::csv::Header;
use crate::gate::runs::is_hexadecimal_run;
use crate::gate::triggers::{OPTION_ENDS, Trigger};
use crate::gate::values::is_value_near;
use crate::lexicon::{Naming, classify};
use crate::sentences;
use crate::spelling::spelled;
use crate::value::is_handle;

/// Whether a match at `from..to`, in the line `line.0..line.1`, makes the line worth reading.
pub(crate) fn holds(
    trigger: &Trigger,
    text: &str,
    line: (usize, usize),
    from: usize,
    to: usize,
) -> bool {
    let bytes = text.as_bytes();
    let before = (from > line.0).then(|| bytes[from - 1]);
    let after = (to < line.1).then(|| bytes[to]);
    match trigger {
        // Whole words have been looked at before.
        Trigger::Deep | Trigger::WholeWord => true,
        Trigger::Keyword(exact) => {
            let word = |b: u8| b.is_ascii_alphanumeric();
            !(before.is_some_and(word) && word(bytes[from]))
                && exact
                    .as_ref()
                    .is_none_or(|exact| exact.as_bytes() == &bytes[from..to])
        }
        Trigger::Url => {
            let rest = &bytes[to..line.1];
            memchr::memchr(b'@', &rest[..rest.len().min(4096)]).is_some()
        }
        Trigger::Colons => is_hexadecimal_run(bytes, from, b':'),
        Trigger::Escape => spelled(bytes, from).is_some(),
        Trigger::Option => is_option(bytes, before, after, from, to),
        Trigger::Word | Trigger::Hint { ending: false } if !begins_word(bytes, line.0, from) => {
            false
        }
        Trigger::Hint { .. } => {
            ends_word(bytes, line.1, to) && hints_at_value(text, line, from, to)
        }
        Trigger::Word | Trigger::Ending => {
            ends_word(bytes, line.1, to) && names_value(text, line, from, to)
        }
    }
}

fn is_option(bytes: &[u8], before: Option<u8>, after: Option<u8>, from: usize, to: usize) -> bool {
    let starts =
        before.is_none_or(|b| matches!(b, b' ' | b'"' | b'\'' | b'\t' | b'[' | b'(' | b',' | b'`'));
    let ends = |b: u8| OPTION_ENDS.contains(&char::from(b));
    let literal = &bytes[from..to];
    let complete = match literal {
        [b'-', b'p'] => after.is_some(),
        [.., last] if ends(*last) => true,
        _ => after.is_some_and(ends),
    };
    starts && complete
}

/// Whether a word of a name may begin here.
fn begins_word(bytes: &[u8], floor: usize, from: usize) -> bool {
    let Some(before) = (from > floor).then(|| bytes[from - 1]) else {
        return true;
    };
    let first = bytes[from];
    let hump = first.is_ascii_uppercase()
        && (!before.is_ascii_uppercase()
            || bytes.get(from + 1).is_some_and(u8::is_ascii_lowercase));
    !before.is_ascii_alphanumeric() || hump || is_after_escape(bytes, floor, from)
}

/// After `\n` of a string, or `%22` of a URL.
fn is_after_escape(bytes: &[u8], floor: usize, from: usize) -> bool {
    let back = |count: usize| {
        from.checked_sub(count)
            .filter(|at| *at >= floor)
            .map(|at| bytes[at])
    };
    back(2) == Some(b'\\') || back(3) == Some(b'%')
}

fn ends_word(bytes: &[u8], ceiling: usize, to: usize) -> bool {
    to >= ceiling || !bytes[to].is_ascii_lowercase()
}

/// The name that a word is part of.
fn name_around(bytes: &[u8], line: (usize, usize), from: usize, to: usize) -> (usize, usize) {
    let is_name =
        |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$' | b'@');
    let head = bytes[line.0.max(from.saturating_sub(96))..from]
        .iter()
        .rev()
        .take_while(is_name)
        .count();
    let tail = bytes[to..line.1]
        .iter()
        .take(96)
        .take_while(is_name)
        .count();
    (from - head, to + tail)
}

/// Whether a random string follows a word that says little.
fn hints_at_value(text: &str, line: (usize, usize), from: usize, to: usize) -> bool {
    let name = name_around(text.as_bytes(), line, from, to);
    // Also a value in the name's own run: `token-abc123`, `key.abc123`.
    let near = is_value_near(text, to) || name.1 != to && is_value_near(text, name.1);
    if near {
        return strongest(text, line, name, (from, to)) > Naming::Ordinary;
    }
    // `Bearer auth: abc`: the word before makes the name strong, but stands too far from the value.
    let bytes = text.as_bytes();
    let (start, end) = name;
    start > line.0
        && bytes[start - 1] == b' '
        && is_announced_at(bytes, line, start, end)
        && strongest(text, line, name, (from, to)) > Naming::Weak
}

/// Whether a word is part of a name that announces something, and something that may be it follows.
fn names_value(text: &str, line: (usize, usize), from: usize, to: usize) -> bool {
    let bytes = text.as_bytes();
    let (start, end) = name_around(bytes, line, from, to);
    let near = || is_value_near(text, to) || end != to && is_value_near(text, end);
    // The last is a line of dots that leads to the value.
    let announced = || match bytes[end..line.1] {
        _ if is_blank_after(&bytes[end..line.1]) => false,
        // Between names only: a table.
        [b';', ..] => Header::of(&text[line.0..line.1]).is_some(),
        _ => {
            is_announced_at(bytes, line, start, end)
                || bytes[to..line.1].starts_with(b"....")
                || sentences::tells(&text[..line.1], from, to)
        }
    };
    match strongest(text, line, (start, end), (from, to)) {
        Naming::Ordinary => false,
        Naming::Strong if is_handle_after(&text[end..line.1]) => false,
        Naming::Weak => near(),
        Naming::Strong | Naming::Password => announced() || near(),
    }
}

/// What the name says, as a whole and in the parts that carriers look at.
fn strongest(
    text: &str,
    line: (usize, usize),
    name: (usize, usize),
    word: (usize, usize),
) -> Naming {
    let bytes = text.as_bytes();
    let of = |from: usize, to: usize| text.get(from..to).map_or(Naming::Weak, classify);
    let whole = of(name.0, name.1);
    let upto = if name.1 == word.1 {
        whole
    } else {
        of(name.0, word.1)
    };
    let joined = bytes[name.0..word.0]
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        .count();
    let short = if word.0 - joined == name.0 {
        upto
    } else {
        of(word.0 - joined, word.1)
    };
    let best = whole.max(upto).max(short);
    if is_glued(word_around(bytes, line, word)) {
        return best.max(Naming::Strong);
    }
    if best != Naming::Weak {
        return best;
    }
    // `API Key: ...`
    let head = &text[line.0..name.0];
    let previous = head
        .strip_suffix(' ')
        .and_then(|head| head.rsplit(|c: char| !c.is_ascii_alphanumeric()).next())
        .filter(|word| !word.is_empty() && word.len() <= 20);
    match (previous, text.get(name.0..name.1)) {
        (Some(previous), Some(name)) => best.max(classify(&format!("{previous} {name}"))),
        _ => best,
    }
}

/// The letters, digits and underscores around a match.
fn word_around(bytes: &[u8], line: (usize, usize), (from, to): (usize, usize)) -> &[u8] {
    let is_inside = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
    let head = bytes[line.0..from]
        .iter()
        .rev()
        .take(64)
        .take_while(is_inside)
        .count();
    let tail = bytes[to..line.1]
        .iter()
        .take(64)
        .take_while(is_inside)
        .count();
    &bytes[from - head..to + tail]
}

/// Whether the value was taken out already: `<****>` stands in its place while a text is read again.
fn is_blank_after(rest: &[u8]) -> bool {
    let between = |b: &u8| matches!(b, b'=' | b':' | b' ' | b'"' | b'\'' | b'\\' | b'>');
    let separators = rest.iter().take(8).take_while(|b| between(b)).count();
    separators > 0 && rest[separators..].starts_with(b"<**")
}

/// `sessionid: 0x14ede63a5a7001b`: what is announced, and all of it, is a handle.
fn is_handle_after(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix([':', '=']) else {
        return false;
    };
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let end = rest.find([' ', '\n', '\r']).unwrap_or(rest.len());
    is_handle(&rest[..end])
}

/// Separators of more than one byte: an arrow, an operator of PHP, an entity, the end of an element, and the wide ones.
const LEADS: [&[u8]; 8] = [
    b"->",
    b".=",
    b"&quot;",
    b"&apos;",
    b"&#",
    b"</",
    "\u{ff1a}".as_bytes(),
    "\u{ff1d}".as_bytes(),
];

/// Whether the name is an option, or is followed by a separator, an end of line or a gap before a value.
fn is_announced_at(bytes: &[u8], line: (usize, usize), start: usize, end: usize) -> bool {
    let rest = &bytes[end..line.1];
    // Names in a column have blanks up to their separators.
    let closing = rest
        .iter()
        .take(64)
        .take_while(|b| {
            matches!(
                b,
                b'"' | b'\'' | b'`' | b'\\' | b']' | b')' | b'*' | b' ' | b'\t'
            )
        })
        .count();
    let next = rest.get(closing);
    let is_call = rest[..closing].iter().any(|b| matches!(b, b']' | b')'));
    let otherwise = is_call
        && [b"or \"", b"or '"]
            .iter()
            .any(|or| rest[closing..].starts_with(*or));
    let led = otherwise
        || rest.starts_with(b"\t")
        || LEADS.iter().any(|lead| rest[closing..].starts_with(lead));
    let separated = next.is_none_or(|b| {
        matches!(
            b,
            b'=' | b':' | b'>' | b',' | b';' | b'|' | b'%' | b'~' | b'+' | b'?' | b'!'
        )
    });
    let option = start > line.0 && bytes[start - 1] == b'-' || bytes[start] == b'-';
    let quoted = rest
        .iter()
        .take(4)
        .any(|b| matches!(b, b'"' | b'\'' | b'`' | b'(' | b'{' | b'['));
    let told = rest.starts_with(b" is ") || rest.starts_with(b" by ");
    let environment = bytes[start..end].iter().any(|b| matches!(b, b'_' | b'-'));
    let given = bytes[line.0..start].ends_with(b"with ");
    let typed = [
        b" string".as_slice(),
        b" String",
        b" str",
        b" char",
        b" byte",
        b" text",
        b" varchar",
    ]
    .iter()
    .any(|kind| rest.starts_with(kind));
    let alone = bytes[line.0..start].trim_ascii().is_empty()
        || bytes[line.0..start].ends_with(b"login ")
        || contains(&bytes[line.0..start], b"login ");
    led || separated || option || quoted || told || given || environment || typed || alone
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}
