//! The commands typed before, kept in a file of the person's own.
//!
//! Several sessions append to one file, each line under a lock and at once, so that none undoes
//! what another has written and a killed one loses nothing. Posts never get here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sns_proto::escape::is_treacherous;

/// Lines kept. The file may grow to twice as many before the older half is dropped.
pub(crate) const LINES_MAX: usize = 1_000;
/// The longest line kept: no command is longer.
const LINE_BYTES: usize = 256;
/// More is not read: the file is not ours then.
const FILE_BYTES: u64 = 4 * (LINES_MAX * LINE_BYTES) as u64;

/// The file.
#[derive(Debug)]
pub(crate) struct History {
    file: File,
}

impl History {
    /// Opens the file, and makes it if need be; the lines in it, the oldest first.
    ///
    /// # Errors
    /// It cannot be made, read or locked, or is no text file.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<String>)> {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        // A pipe in its place would wait for a writer for ever.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is no file"));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.lock()?;
        let lines = read(&mut file);
        file.unlock()?;
        Ok((Self { file }, lines?))
    }

    /// Appends a line.
    ///
    /// # Errors
    /// As the file has it; what was written before stays.
    pub(crate) fn add(&mut self, line: &str) -> io::Result<()> {
        if line.len() > LINE_BYTES || line.contains(['\n', '\r']) {
            return Ok(());
        }
        self.file.lock()?;
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        self.file.unlock()?;
        written
    }
}

/// The newest lines; when there are far too many, the file keeps only these. It stays the same
/// file, for those who have it open.
fn read(file: &mut File) -> io::Result<Vec<String>> {
    if file.metadata()?.len() > FILE_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    let mut text = String::new();
    file.rewind()?;
    file.take(FILE_BYTES).read_to_string(&mut text)?;
    let all: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let kept = &all[all.len().saturating_sub(LINES_MAX)..];
    if all.len() >= 2 * LINES_MAX {
        file.set_len(0)?;
        file.write_all((kept.join("\n") + "\n").as_bytes())?;
    }
    // A line from elsewhere is shown as it is typed again: nothing in it may act.
    let harmless = kept.iter().filter(|line| !line.contains(is_treacherous));
    Ok(harmless.map(|line| (*line).to_owned()).collect())
}

/// Where it is: `$XDG_STATE_HOME/sns/history`, else `~/.local/state/sns/history`; `None` without
/// a home.
pub(crate) fn path() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("sns/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_keep_each_others_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b/history");
        let (mut one, none) = History::open(&path).expect("made");
        let (mut two, _) = History::open(&path).expect("opened");
        assert!(none.is_empty());
        one.add("FOLLOW bob").expect("written");
        two.add("LIST").expect("written");
        one.add("EXIT").expect("written");
        two.add(&"x".repeat(LINE_BYTES + 1)).expect("passed over");
        let (_, lines) = History::open(&path).expect("opened");
        assert_eq!(lines, ["FOLLOW bob", "LIST", "EXIT"]);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn it_is_bounded_and_goes_on_for_those_who_have_it_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("history");
        let many: Vec<String> = (0..2 * LINES_MAX).map(|n| n.to_string()).collect();
        fs::write(&path, many.join("\n") + "\n").expect("written");
        let (mut early, lines) = History::open(&path).expect("opened");
        assert_eq!(lines, many[LINES_MAX..]);
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text.lines().count(), LINES_MAX);
        early.add("LIST").expect("written");
        let (_, lines) = History::open(&path).expect("opened");
        assert_eq!(lines.last().map(String::as_str), Some("LIST"));
        assert_eq!(lines.len(), LINES_MAX);
    }

    #[test]
    fn what_is_no_history_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        History::open(dir.path()).expect_err("a directory");
        let path = dir.path().join("bytes");
        fs::write(&path, b"\xff\xfe\n").expect("written");
        History::open(&path).expect_err("no text");
        assert_eq!(fs::read(&path).expect("read"), b"\xff\xfe\n");
        fs::write(&path, "LIST\n\x1b[2J\nFOLLOW \u{202e}bob\nEXIT\n").expect("written");
        let (_, lines) = History::open(&path).expect("opened");
        assert_eq!(lines, ["LIST", "EXIT"]);
    }
}
