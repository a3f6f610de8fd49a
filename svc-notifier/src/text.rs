//! Text from clusters and models, made harmless before people see it.
//!
//! Whoever can write a log line or name an object can write into a notification. So what comes from
//! there is one line of bounded length without control characters, terminal sequences or characters
//! that are not seen; Slack's markup is escaped, and words that would wake a whole
//! channel are broken.

use bonesetter_proto::is_unprintable;

/// Slack decodes these three and no other entities (Slack, "Formatting text for app surfaces").
const ESCAPES: [(char, &str); 3] = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")];
const BROADCASTS: [&str; 3] = ["here", "channel", "everyone"];
const FENCE: &str = "```";
const NO_FENCE: &str = "'''";
const ELLIPSIS: char = '…';
/// Invisible, has no width, and ends a word.
const BREAK: char = '\u{200B}';

/// One line of at most `max` UTF-16 units: white space is folded, the end is cut.
pub(crate) fn line(text: &str, max: usize) -> String {
    let mut folded = String::new();
    for character in printable(text) {
        let is_space = character.is_whitespace();
        if !is_space {
            folded.push(character);
        } else if !folded.is_empty() && !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    cut(folded.trim_end(), max)
}

/// Several lines of at most `max` UTF-16 units together.
pub(crate) fn block(text: &str, max: usize) -> String {
    let kept: String = printable(text).into_iter().collect();
    cut(kept.trim_end(), max)
}

/// For Slack's `mrkdwn`, at most `budget` UTF-16 units long: markup is escaped, and nothing mentions anybody.
pub(crate) fn mrkdwn(text: &str, budget: usize) -> String {
    let defused = defuse(text).replace(FENCE, NO_FENCE);
    let mut escaped = String::new();
    let mut used = 0;
    for character in defused.chars() {
        let entity = ESCAPES
            .iter()
            .find(|(plain, _)| *plain == character)
            .map(|(_, entity)| *entity);
        let units = entity.map_or_else(|| character.len_utf16(), str::len);
        if used + units + 1 > budget {
            escaped.push(ELLIPSIS);
            break;
        }
        used += units;
        match entity {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(character),
        }
    }
    escaped
}

/// A code block for Slack's `mrkdwn`, at most `budget` UTF-16 units long with its fences; the text cannot end it.
pub(crate) fn code_block(text: &str, budget: usize) -> String {
    let fences = 2 * "```".len();
    format!(
        "```{}```",
        mrkdwn(&without_fences(text), budget.saturating_sub(fences))
    )
}

/// Inline code for Slack's `mrkdwn`.
pub(crate) fn code(text: &str, budget: usize) -> String {
    format!(
        "`{}`",
        mrkdwn(&text.replace('`', "'"), budget.saturating_sub(2))
    )
}

/// The length that Slack counts.
pub(crate) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn without_fences(text: &str) -> String {
    let text = text.replace(FENCE, NO_FENCE);
    // A backtick at either end would join the fence.
    let text = text
        .strip_prefix('`')
        .map_or_else(|| text.clone(), |rest| format!("'{rest}"));
    text.strip_suffix('`')
        .map_or_else(|| text.clone(), |rest| format!("{rest}'"))
}

/// Breaks `@here` and its like, in any case, also where Slack would read them out of `<!here>`.
fn defuse(text: &str) -> String {
    let mut defused = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(index) = rest.find(['@', '!']) {
        let (before, after) = rest.split_at(index + 1);
        defused.push_str(before);
        let wakes = |word: &str| {
            after
                .get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if BROADCASTS.iter().any(|word| wakes(word)) {
            defused.push(BREAK);
        }
        rest = after;
    }
    defused + rest
}

/// At most `max` UTF-16 units, which is what receivers count.
fn cut(text: &str, max: usize) -> String {
    if units(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(1);
    let mut fits = |character: &char| {
        let rest = left.checked_sub(character.len_utf16());
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    text.chars()
        .take_while(|it| fits(it))
        .chain([ELLIPSIS])
        .collect()
}

/// Without terminal sequences (ECMA-48 CSI), control characters and what is not seen; tabs become spaces.
fn printable(text: &str) -> Vec<char> {
    let mut kept = Vec::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1B}' => {
                if characters.next_if_eq(&'[').is_some() {
                    while characters
                        .next_if(|c| !('\u{40}'..='\u{7E}').contains(c))
                        .is_some()
                    {}
                    characters.next();
                }
            }
            '\n' => kept.push('\n'),
            '\t' | '\r' => kept.push(' '),
            _ if is_dropped(character) => {}
            _ => kept.push(character),
        }
    }
    kept
}

/// What hides something or moves what is shown. The two joiners stay, other than in what a model reads or a terminal
/// shows: a receiver shows text, and Persian and emoji are spelt with them.
fn is_dropped(character: char) -> bool {
    is_unprintable(character) && !matches!(character, '\u{200C}' | '\u{200D}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_single_and_bounded() {
        let cases = [
            ("a\n  b\t c \r\n", 10, "a b c"),
            ("\u{1B}[31mred\u{1B}[0m", 10, "red"),
            ("\u{1B}[31", 10, ""),
            ("a\u{0}b\u{202E}c", 10, "abc"),
            ("a\u{AD}b\u{E0041}c\u{2060}", 10, "abc"),
            ("👩\u{200D}🔧", 10, "👩\u{200D}🔧"),
            ("abcdef", 4, "abc…"),
            ("😀😀😀", 4, "😀…"),
            ("😀😀", 4, "😀😀"),
            ("", 4, ""),
        ];
        for (text, max, expected) in cases {
            assert_eq!(line(text, max), expected, "{text:?}");
        }
    }

    #[test]
    fn blocks_keep_their_lines() {
        assert_eq!(block("a\n b\n\n", 10), "a\n b");
    }

    #[test]
    fn nothing_in_slack_mentions_or_links() {
        let cases = [
            ("<!channel>", "&lt;!\u{200B}channel&gt;"),
            (
                "@here @HERE @everyone",
                "@\u{200B}here @\u{200B}HERE @\u{200B}everyone",
            ),
            ("<@U012|ana>", "&lt;@U012|ana&gt;"),
            ("<https://evil|bank>", "&lt;https://evil|bank&gt;"),
            ("a && b", "a &amp;&amp; b"),
            ("&lt;", "&amp;lt;"),
            ("me@example.com!", "me@example.com!"),
            ("```a``` `b`", "'''a''' `b`"),
        ];
        for (text, expected) in cases {
            assert_eq!(mrkdwn(text, 100), expected, "{text}");
        }
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b", 20), "`a'b`");
        assert_eq!(code_block("a```\n*b*", 20), "```a'''\n*b*```");
        assert_eq!(code_block("`a`", 20), "```'a'```");
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_no_entity_is_cut(text in "[&<>@!a-z😀]{0,60}", budget in 3_usize..40) {
            let escaped = mrkdwn(&text, budget);
            prop_assert!(units(&escaped) <= budget);
            let rest = escaped.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            prop_assert!(!rest.contains(['&', '<', '>']), "{}", escaped);
        }

        #[test]
        fn a_code_block_has_exactly_its_two_fences(text in "[`a\n]{0,30}") {
            let block = code_block(&text, 60);
            prop_assert_eq!(block.matches("```").count(), 2, "{}", block);
        }
    }
}
