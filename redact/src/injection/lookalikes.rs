//! Letters that are drawn like Latin ones.
//!
//! Most are in the table of confusables of UTS 39. What that table leaves out is beside it here: it keeps small
//! capitals apart from the letters that they are drawn after, and knows no circled letters in white on black.

use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript as _};
use unicode_security::skeleton;

/// The lower-case Latin letters that a letter is drawn like, without its marks; nothing if it is like none.
pub(super) fn latin(letter: char) -> Option<String> {
    if letter.is_ascii_alphabetic() {
        return Some(letter.to_ascii_lowercase().to_string());
    }
    drawn_like(letter).or_else(|| letter.to_lowercase().find_map(drawn_like))
}

fn drawn_like(letter: char) -> Option<String> {
    if let Some(enclosed) = enclosed(letter) {
        return Some(enclosed.to_string());
    }
    let mut buffer = [0; 4];
    let prototype = skeleton(letter.encode_utf8(&mut buffer));
    let letters: String = prototype
        .filter(|part| !is_combining_mark(*part))
        .map(|part| small_capital(part).to_ascii_lowercase())
        .collect();
    match letters.as_str() {
        "" => None,
        // The prototype of every upright bar.
        "l" if !letter.is_lowercase() => Some("i".to_owned()),
        "rn" => Some("m".to_owned()),
        _ => letters
            .bytes()
            .all(|letter| letter.is_ascii_alphabetic())
            .then_some(letters),
    }
}

/// Whether the letters of a word come from several scripts, as those of no language written with letters do.
pub(super) fn is_disguised(word: impl IntoIterator<Item = char>) -> bool {
    let mut scripts = word
        .into_iter()
        .map(script)
        .filter(|script| !matches!(script, Script::Common | Script::Inherited));
    let first = scripts.next();
    scripts.any(|script| Some(script) != first)
}

fn script(letter: char) -> Script {
    if letter.is_ascii_alphabetic() {
        Script::Latin
    } else {
        letter.script()
    }
}

/// Whether a letter is of the Latin script; its marks and forms are then of no account.
pub(super) fn is_latin(letter: char) -> bool {
    script(letter) == Script::Latin || enclosed(letter).is_some()
}

/// Letters in filled circles and squares, and those of which flags are made. Empty ones are compatibility forms.
fn enclosed(letter: char) -> Option<char> {
    const ALPHABETS: [u32; 3] = [0x1_f150, 0x1_f170, 0x1_f1e6];
    let places = ALPHABETS.map(|first| u32::from(letter).checked_sub(first));
    let place = places.into_iter().flatten().find(|place| *place < 26)?;
    char::from_digit(place + 10, 36)
}

/// The letter of a small capital, or of one that stands for it in the table of confusables.
const fn small_capital(letter: char) -> char {
    match letter {
        'ᴀ' => 'a',
        'ʙ' => 'b',
        'ᴄ' => 'c',
        'ᴅ' => 'd',
        'ᴇ' | 'ꞓ' | 'ɛ' | 'ε' => 'e',
        'ꜰ' => 'f',
        'ɢ' => 'g',
        'ʜ' => 'h',
        'ɪ' => 'i',
        'ᴊ' => 'j',
        'ᴋ' | 'ĸ' => 'k',
        'ʟ' => 'l',
        'ᴍ' | 'ʍ' => 'm',
        'ɴ' => 'n',
        'ᴏ' => 'o',
        'ᴘ' => 'p',
        'ꞯ' => 'q',
        'ʀ' => 'r',
        'ꜱ' => 's',
        'ᴛ' => 't',
        'ᴜ' => 'u',
        'ᴠ' => 'v',
        'ᴡ' | 'ω' => 'w',
        'χ' => 'x',
        'ʏ' => 'y',
        'ᴢ' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way of writing the alphabet that the table of confusables, or a generator of such texts, knows.
    #[test]
    fn whole_alphabets_are_read() {
        for alphabet in [
            "abcdefghijklmnopqrstuvwxyz",
            "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ",
            "🅐🅑🅒🅓🅔🅕🅖🅗🅘🅙🅚🅛🅜🅝🅞🅟🅠🅡🅢🅣🅤🅥🅦🅧🅨🅩",
            "🅰🅱🅲🅳🅴🅵🅶🅷🅸🅹🅺🅻🅼🅽🅾🅿🆀🆁🆂🆃🆄🆅🆆🆇🆈🆉",
            "🇦🇧🇨🇩🇪🇫🇬🇭🇮🇯🇰🇱🇲🇳🇴🇵🇶🇷🇸🇹🇺🇻🇼🇽🇾🇿",
        ] {
            let read: String = alphabet.chars().filter_map(latin).collect();
            assert_eq!(read, "abcdefghijklmnopqrstuvwxyz", "{alphabet}");
        }
    }

    #[test]
    fn letters_of_other_scripts_are_read_as_what_they_are_drawn_like() {
        for (letters, read) in [
            ("аеіорсухѕјһԁԛԝӏ", "aeiopcyxsjhdqwl"),
            ("АВЕКМНОРСТУХІЅЈ", "abekmhopctyxisj"),
            ("вгкмнт", "brkmht"),
            ("αγεικνορτυχω", "ayeikvoptuxw"),
            ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx"),
            ("աոսօհցզ", "wnuohgq"),
            ("Ꭵꭰꮪ", "ids"),
            ("ⲟⲣⲥ", "opc"),
            ("ɑɡıɩ", "agii"),
            ("áàâãäåāăąǎ", "aaaaaaaaaa"),
            (
                "ćçĉčđďéęėèħíłñńøöőŕřśşšťŧúůýžż",
                "ccccddeeeehilnnooorrsssttuuyzz",
            ),
        ] {
            let all: String = letters.chars().filter_map(latin).collect();
            assert_eq!(all, read, "{letters}");
        }
    }

    /// Names the letters for which nobody could spell an instruction, should a newer table lack any.
    #[test]
    fn every_letter_has_lookalikes_in_other_scripts() {
        let mut read = std::collections::BTreeMap::<char, usize>::new();
        for letter in ('\u{80}'..=char::MAX).filter(|c| c.is_alphabetic()) {
            let spelt = latin(letter).unwrap_or_default();
            assert!(
                spelt.bytes().all(|b| b.is_ascii_lowercase()),
                "{letter}: {spelt}"
            );
            if let [only] = spelt.as_bytes() {
                *read.entry(char::from(*only)).or_default() += 1;
            }
        }
        for letter in 'a'..='z' {
            assert!(
                read.get(&letter).is_some_and(|count| *count > 20),
                "{letter}: {read:?}"
            );
        }
    }

    #[test]
    fn a_word_of_one_script_is_no_disguise() {
        for (word, is) in [
            ("previous", false),
            ("все", false),
            ("παράδειγμα", false),
            ("précédentes", false),
            ("previоus", true),
            ("αll", true),
        ] {
            assert_eq!(is_disguised(word.chars()), is, "{word}");
        }
    }
}
