//! Text of others in rows: pure, no terminal.

use sns_proto::escape::escape;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Text in rows of `room` columns, of which the first has `used` already. Lines of the text stay
/// lines; of empty ones in a row, one.
pub(crate) fn wrap(text: &str, room: usize, used: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut at = used;
    let mut empty = false;
    for (nth, line) in text.lines().enumerate() {
        let line = escape(line.trim_end());
        if line.is_empty() && (empty || nth == 0) {
            continue;
        }
        empty = line.is_empty();
        if nth > 0 {
            rows.push(String::new());
            at = 0;
        }
        for (nth, word) in line.split(' ').enumerate() {
            let space = usize::from(nth > 0);
            if at > 0 && at + space + word.width() > room && word.width() <= room {
                rows.push(String::new());
                at = 0;
            } else if space == 1 {
                push(&mut rows, &mut at, " ", room);
            }
            for letter in word.graphemes(true) {
                push(&mut rows, &mut at, letter, room);
            }
        }
    }
    rows
}

fn push(rows: &mut Vec<String>, at: &mut usize, letter: &str, room: usize) {
    if *at > 0 && *at + letter.width() > room {
        rows.push(String::new());
        *at = 0;
    }
    if let Some(row) = rows.last_mut() {
        row.push_str(letter);
    }
    *at += letter.width();
}
