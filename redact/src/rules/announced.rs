//! Rules whose matches stand behind a word: `tax_file_number=...`, `"taxFileNumber": "..."`, `Tax file number is ...`.

use crate::rules::Rule;

/// What stands between the parts of a word.
const JOINS: [&str; 4] = [" ", "_", "-", ""];
/// Marks, and up to four words: `": "`, ` of the customer is `.
const BETWEEN: &str = r"[^0-9A-Za-z\n]{1,8}(?:[A-Za-z\x80-\xff]{1,24}[^0-9A-Za-z\n]{1,8}){0,4}?";
/// `taxFileNumberOfCustomer`: other words of the same name.
const HUMP: &str = "(?-i:[A-Z][a-z]{1,11}){0,2}";

/// Makes the keywords of a rule from its words, and of the pattern of its values that of its matches.
pub(super) fn announce(rule: &mut Rule) {
    let words: Vec<String> = rule.words.iter().flat_map(|word| cases(word)).collect();
    rule.pattern = format!(
        r"(?i)(?:{}){HUMP}{BETWEEN}({})(?:$|[^0-9A-Za-z])",
        alternatives(&words),
        rule.pattern
    );
    rule.keywords = words.iter().flat_map(|word| spellings(word)).collect();
    rule.keywords.sort();
    rule.keywords.dedup();
    rule.whole_words = true;
}

/// Patterns and keywords tell cases apart beyond ASCII.
fn cases(word: &str) -> Vec<String> {
    if word.is_ascii() {
        return vec![word.to_owned()];
    }
    let mut cases = vec![word.to_owned(), word.to_uppercase(), capitalised(word)];
    cases.dedup();
    cases
}

fn spellings(word: &str) -> impl Iterator<Item = String> {
    JOINS.iter().map(|join| word.replace(' ', join))
}

/// A word as such or behind `_`, within `aNameLikeThis`, and anywhere if `\b` does not know its letters.
fn alternatives(words: &[String]) -> String {
    let plain = |word: &&String| word.starts_with(|first: char| first.is_ascii());
    let (plain, other): (Vec<&String>, Vec<&String>) = words.iter().partition(plain);
    let humps = words.iter().filter(|word| word.is_ascii());
    let humps: Vec<String> = humps
        .map(|word| word.split(' ').map(capitalised).collect())
        .collect();
    let pattern = |words: &[&String]| {
        let words = words.iter().map(|word| regex::escape(word));
        words.collect::<Vec<_>>().join("|").replace(' ', "[ _-]?")
    };
    let mut alternatives = vec![];
    if !plain.is_empty() {
        alternatives.push(format!(r"(?:\b|_)(?:{})", pattern(&plain)));
    }
    if !humps.is_empty() {
        alternatives.push(format!("(?-i:[a-z](?:{}))", humps.join("|")));
    }
    if !other.is_empty() {
        alternatives.push(pattern(&other));
    }
    alternatives.join("|")
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use crate::Rules;

    #[test]
    fn a_word_is_known_in_every_spelling() {
        let yaml = "rules: [{id: own, description: d, kind: own, words: [file number, инн], \
                    pattern: '[A-Z]?[0-9]{3}', examples: ['file number 123']}]";
        let rules = Rules::builtin()
            .unwrap()
            .with_own(Rules::parse(yaml).unwrap())
            .unwrap();
        let redactor = crate::Redactor::new(rules).unwrap();
        for (text, expected) in [
            ("File number: 123", true),
            ("the file-number of the customer is 123.", true),
            ("customer_file_number='123'", true),
            ("customerFileNumber=123", true),
            ("fileNumberOld=123", true),
            ("<fileNumber>A123</fileNumber>", true),
            (r#"{"fileNumber": "123"}"#, true),
            (r#"{"customer": {"file_number": 123, "a": 1}}"#, true),
            ("ИНН клиента: 123", true),
            ("инн=123", true),
            ("profile number 123", false),
            ("file numbers 123", false),
            ("file number 1234", false),
            ("file number 123a", false),
            ("file number of the one of them 123", false),
        ] {
            let redacted = redactor.session(b"key").redact_text(text).text;
            assert_eq!(redacted.contains("<own:"), expected, "{text}: {redacted}");
        }
    }
}
