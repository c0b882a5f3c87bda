//! What a fuzzer feeds: takes any bytes, and panics when a promise about hostile data is broken. There
//! only for the fuzzer (`cargo xtask fuzz`) and for a test, which goes through its corpus.

use sns_proto::escape::{MARKS_MAX, escape, escape_json, is_treacherous};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::wrap::wrap;

/// A text as the terminal gets it: on a line, in rows of a width, as JSON. Two bytes give the width and
/// what of the first row is used; the rest is the text.
pub fn escaped(data: &[u8]) {
    let (&[room, used], text) = data.split_first_chunk().unwrap_or((&[40, 0], &[]));
    let text = String::from_utf8_lossy(text);
    let line = escape(&text);
    assert_calm(&line);
    assert!(line.len() <= text.len() * 10);
    assert_eq!(escape(&line), line);

    let json = escape_json(&serde_json::to_string(&*text).expect("a string"));
    assert_calm(&json);
    let back: String = serde_json::from_str(&json).expect("JSON");
    assert_eq!(back, text);

    // As `show` has it: never less than eight columns.
    let room = usize::from(room).max(8);
    let used = usize::from(used) % (room + 8);
    for (nth, row) in wrap(&text, room, used).iter().enumerate() {
        assert_calm(row);
        let begin = if nth == 0 { used } else { 0 };
        let one = row.graphemes(true).nth(1).is_none();
        assert!(
            one || begin + row.width() <= room.max(begin),
            "{row:?} in {room}"
        );
    }
}

/// Nothing in it acts, and no letter carries a tower.
fn assert_calm(line: &str) {
    assert!(!line.contains(is_treacherous), "{line:?}");
    let mut marks = 0;
    for c in line.chars() {
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        assert!(marks <= MARKS_MAX, "{line:?}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_found_is_withstood() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/escape");
        let mut count = 0;
        for file in std::fs::read_dir(corpus).unwrap() {
            super::escaped(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus is empty");
    }
}
