//! Characters that stand in a text and are not seen in it.
//!
//! Whoever searches, shows or judges the text of a message needs the same list: what one of them takes for nothing
//! and another for a letter is a way past the one or the other. The list is what Unicode calls
//! `Default_Ignorable_Code_Point` (`DerivedCoreProperties.txt`), with the two separators that are shown as nothing or
//! as the end of a line, and without what people need to read: the sixteen variation selectors that emoji are
//! written with, and the fillers and vowels that are a part of Hangul, Khmer, Mongolian, shorthand and music.

/// What an unseen character does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// Stands between letters and has no width: soft hyphens, joiners, marks of direction, the byte order mark.
    /// Persian, emoji and right-to-left names are written with a few of them.
    Joint,
    /// Has the text around it shown in another order than it is written in (UAX #9, explicit formatting).
    Direction,
    /// Spells a byte that nobody sees: tags and the variation selectors beyond the sixteenth, with the plane that is
    /// kept for more of them.
    Tag,
    /// Ends a line for readers that follow Unicode, and is nothing for others.
    Separator,
}

impl Unseen {
    /// What a character does that is not seen; `None` for all others, control characters among them.
    ///
    /// ```
    /// use bonesetter_proto::Unseen;
    ///
    /// assert_eq!(Unseen::of('\u{200b}'), Some(Unseen::Joint));
    /// assert_eq!(Unseen::of('a'), None);
    /// ```
    pub const fn of(character: char) -> Option<Self> {
        match character {
            '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}' => Some(Self::Joint),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(Self::Direction),
            '\u{e0000}'..='\u{e0fff}' => Some(Self::Tag),
            '\u{2028}' | '\u{2029}' => Some(Self::Separator),
            _ => None,
        }
    }
}

/// Whether a character can hide a text, move a cursor or break a line: one that is not seen, or a control character.
///
/// ```
/// assert!(bonesetter_proto::is_unprintable('\u{1b}') && bonesetter_proto::is_unprintable('\u{202e}'));
/// assert!(!bonesetter_proto::is_unprintable('é'));
/// ```
pub fn is_unprintable(character: char) -> bool {
    character.is_control() || Unseen::of(character).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_every_range_are_in_it_and_their_neighbours_are_not() {
        let ranges = [
            ('\u{ad}', '\u{ad}', Unseen::Joint),
            ('\u{61c}', '\u{61c}', Unseen::Joint),
            ('\u{200b}', '\u{200f}', Unseen::Joint),
            ('\u{2028}', '\u{2029}', Unseen::Separator),
            ('\u{202a}', '\u{202e}', Unseen::Direction),
            ('\u{2060}', '\u{2065}', Unseen::Joint),
            ('\u{2066}', '\u{2069}', Unseen::Direction),
            ('\u{206a}', '\u{206f}', Unseen::Joint),
            ('\u{feff}', '\u{feff}', Unseen::Joint),
            ('\u{e0000}', '\u{e0fff}', Unseen::Tag),
        ];
        for (character, expected) in ranges
            .into_iter()
            .flat_map(|(first, last, unseen)| (first..=last).map(move |c| (c, unseen)))
        {
            assert_eq!(Unseen::of(character), Some(expected), "{character:?}");
        }
        let listed = |c: char| {
            ranges
                .iter()
                .any(|(first, last, _)| (*first..=*last).contains(&c))
        };
        for character in ('\0'..=char::MAX).filter(|c| !listed(*c)) {
            assert_eq!(Unseen::of(character), None, "{character:?}");
        }
    }
}
