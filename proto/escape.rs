//! Text of other people, made fit to be shown: on a terminal, in a log. Client and server share it, so
//! that what one of them shows as an escape the other does not let pass.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// Marks that one letter may carry. Scripts need up to six or so; a tower of hundreds is drawn over the
/// lines around it.
pub const MARKS_MAX: usize = 8;

/// `text` as one line that leaves a terminal alone: control characters, line breaks, turns of direction,
/// invisible characters and marks beyond [`MARKS_MAX`] show as escapes (`\n`, `\u{202e}`). At most ten
/// bytes for each one of `text`. Escaped twice it is the same: a backslash stays as it is, so this is for
/// eyes, and cannot be undone.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (c, is_safe) in look(text) {
        match c {
            c if is_safe => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    safe
}

/// `json` with the same characters as escapes of JSON (`\u202e`), so that it means the same. Outside of its
/// strings there must be none: what a serializer writes on one line.
pub fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for (c, is_safe) in look(json) {
        if is_safe {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

/// Every character of a text, and whether it may be shown as it is.
fn look(text: &str) -> impl Iterator<Item = (char, bool)> {
    // A mark without a letter of the same text would sit on ours.
    let mut marks = MARKS_MAX;
    text.chars().map(move |c| {
        let is_safe = if is_treacherous(c) {
            marks = MARKS_MAX;
            false
        } else if c.width() == Some(0) {
            let fits = marks < MARKS_MAX;
            marks = (marks + 1).min(MARKS_MAX);
            fits
        } else {
            marks = 0;
            true
        };
        (c, is_safe)
    })
}

/// Whether a character acts on a terminal, or on how others are shown, or is not to be seen at all. Joiners
/// and variation selectors are none: emoji and scripts need them.
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Bidi: marks, embeddings, overrides, isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Soft hyphen, grapheme joiner, fillers of Hangul, Khmer and Mongolian vowels.
            | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            // Zero width space, word joiner and its kin, byte order mark, deprecated formats,
            // interlinear notes, music, shorthand, tags.
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_an_escape_and_what_is_read_stays() {
        for (text, shown) in [
            (
                "hé 😀 日本 👩\u{200d}👧 1\u{fe0f}\u{20e3}",
                "hé 😀 日本 👩\u{200d}👧 1\u{fe0f}\u{20e3}",
            ),
            ("a\u{1b}]8;;x\u{7}\u{9b}2J", "a\\u{1b}]8;;x\\u{7}\\u{9b}2J"),
            ("x\u{202e}y\u{2066}z", "x\\u{202e}y\\u{2066}z"),
            ("a\r\n\tb\u{2028}", "a\\r\\n\\tb\\u{2028}"),
            (
                "\u{200b}\u{ad}\u{3164}\u{e0041}",
                "\\u{200b}\\u{ad}\\u{3164}\\u{e0041}",
            ),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape(shown), shown);
        }
    }

    #[test]
    fn a_letter_carries_few_marks_and_ours_carry_none() {
        let tower = "Z".to_owned() + &"\u{301}".repeat(20);
        let shown = escape(&tower);
        assert_eq!(shown.matches('\u{301}').count(), MARKS_MAX);
        assert_eq!(shown.matches("\\u{301}").count(), 20 - MARKS_MAX);
        assert_eq!(escape("\u{301}x"), "\\u{301}x");
        assert_eq!(escape("\n\u{301}"), "\\n\\u{301}");
    }

    #[test]
    fn json_means_the_same() {
        assert_eq!(
            escape_json("\"\u{301}\u{202e}\u{e0041}\""),
            "\"\u{301}\\u202e\\udb40\\udc41\""
        );
    }
}
