//! What a fuzzer feeds: each function takes any bytes, and panics when a promise about hostile data
//! is broken. There only for the fuzzer (`cargo xtask fuzz`) and for the tests, which go through
//! the inputs that it has found worth keeping.

use std::path::Path;

use crate::command::Entry;
use crate::cursor;
use crate::log::dir;
use crate::view;

/// A directory of its own, in memory where there is such a place.
fn room() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    let made = if shm.is_dir() {
        tempfile::tempdir_in(shm)
    } else {
        tempfile::tempdir()
    };
    made.expect("a place to write")
}

/// The files of a log: frames, recovery, `commit` and `head`.
pub fn frame(data: &[u8]) {
    dir::fuzz::frame(data, room().path());
}

/// An entry of the log. What can be read can be written, and comes back as it was.
pub fn entry(data: &[u8]) {
    let Ok(entry) = Entry::decode(1, data) else {
        return;
    };
    let bytes = entry.encode();
    let again = Entry::decode(1, &bytes).expect("we wrote it");
    assert_eq!(again, entry);
    assert_eq!(again.encode(), bytes);
}

/// The token of a page, and the query it belongs to.
pub fn page_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (query, token) = text.split_once('\n').unwrap_or(("", &text));
    if let Ok(at) = cursor::decode(query, token) {
        // Hexadecimal digits may be capitals.
        assert_eq!(cursor::encode(query, &at), token.to_lowercase());
    }
    let made = cursor::encode(query, token);
    assert_eq!(cursor::decode(query, &made).expect("we made it"), token);
}

/// A snapshot file, and the values in it.
pub fn snapshot(data: &[u8]) {
    view::snapshot::fuzz::snapshot(data, room().path());
}

/// A backup: the frames, the header, what it says it holds.
pub fn backup(data: &[u8]) {
    crate::backup::file::read_any(data, room().path());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn each(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut count = 0;
        for file in fs::read_dir(corpus.join(target)).unwrap() {
            run(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus of {target} is empty");
    }

    #[test]
    fn what_the_fuzzer_found_is_withstood() {
        each("frame", super::frame);
        each("entry", super::entry);
        each("page_token", super::page_token);
        each("snapshot", super::snapshot);
        each("backup", super::backup);
    }
}
