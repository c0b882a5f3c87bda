//! Rights: whoever may write into the directory may write the log, whoever reads the secret may sign
//! tokens.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sns_core::{ErrorKind, own_file};

use super::finding::Finding;

/// Files that are looked at.
const FILES: usize = 10_000;

/// How deep below the directory: `nodes/NODE/view/blobs/…`.
const DEPTH: usize = 5;

/// Files that are told by name; the rest is counted.
const TOLD: usize = 3;

/// Files that their owner alone may read.
const SECRETS: [&str; 2] = ["secret", "announce.key"];

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// There is no such directory.
    missing: bool,
    /// It cannot be read at all.
    unreadable: Option<String>,
    /// Others may look into it: its mode.
    open: Option<u32>,
    /// For each of the directories and secrets that a server refuses: why, and what to type.
    refused: Vec<String>,
    /// Other files that others may write, or own.
    strays: Vec<PathBuf>,
    /// There are more files than were looked at.
    more: bool,
}

impl Facts {
    pub(super) fn gather(data: &Path) -> Self {
        let mut facts = Self::default();
        let found = match fs::metadata(data) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                facts.missing = true;
                return facts;
            }
            Err(e) => {
                facts.unreadable = Some(e.to_string());
                return facts;
            }
            Ok(found) => found,
        };
        facts.open = Some(found.mode() & 0o7777).filter(|mode| mode & 0o077 != 0);
        for part in ["", "log", "snapshots", "nodes"] {
            let path = if part.is_empty() {
                data.to_owned()
            } else {
                data.join(part)
            };
            if let Ok(found) = fs::metadata(&path) {
                facts
                    .refused
                    .extend(own_file::open_to_others(&path, &found, false));
            }
        }
        for name in SECRETS {
            let path = data.join(name);
            if let Ok(found) = fs::symlink_metadata(&path) {
                facts
                    .refused
                    .extend(own_file::open_to_others(&path, &found, true));
            }
        }
        facts.look_for_strays(data, found.uid());
        facts
    }

    /// Links count as they are, and are not followed.
    fn look_for_strays(&mut self, data: &Path, owner: u32) {
        let mut open = vec![(data.to_owned(), 0)];
        let mut looked = 0;
        while let Some((dir, depth)) = open.pop() {
            let Ok(entries) = fs::read_dir(&dir) else {
                continue;
            };
            for entry in entries.filter_map(Result::ok) {
                looked += 1;
                if looked > FILES {
                    self.more = true;
                    return;
                }
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                let secret = depth == 0 && SECRETS.iter().any(|it| entry.file_name() == *it);
                let part = depth == 0 && found.is_dir();
                let foreign = found.uid() != owner && found.uid() != 0;
                let writable = !found.is_symlink() && found.mode() & 0o022 != 0;
                if !secret && !part && (foreign || writable) {
                    self.strays.push(entry.path());
                }
                if found.is_dir() && depth < DEPTH {
                    open.push((entry.path(), depth + 1));
                }
            }
        }
        self.strays.sort_unstable();
    }
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "rights";
    if facts.missing {
        let found =
            "the data directory is not there yet: the first start makes it, for its owner alone";
        return vec![Finding::ok(CHECK, found)];
    }
    if let Some(why) = &facts.unreadable {
        let found = format!("the data directory cannot be looked at: {why}");
        let advice = "check the owner and the mode of it and of the directories above it";
        return vec![Finding::fail(ErrorKind::Invalid, CHECK, found, advice)];
    }
    let mut findings: Vec<Finding> = Vec::new();
    for why in &facts.refused {
        let advice = "servers refuse to start until then";
        findings.push(Finding::fail(
            ErrorKind::Invalid,
            CHECK,
            why.clone(),
            advice,
        ));
    }
    if let Some(mode) = facts.open.filter(|_| facts.refused.is_empty()) {
        let found = format!("others may look into the data directory (mode {mode:o})");
        findings.push(Finding::warn(
            CHECK,
            found,
            "`chmod 700` keeps posts and passwords' hashes in",
        ));
    }
    if !facts.strays.is_empty() {
        let names: Vec<String> = facts
            .strays
            .iter()
            .take(TOLD)
            .map(|it| it.display().to_string())
            .collect();
        let rest = facts.strays.len().saturating_sub(names.len());
        let rest = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        let found = format!("others may write, or own, {}{rest}", names.join(", "));
        let advice = "`chmod go-w` or `chown` them, after a look at what is in them";
        findings.push(Finding::warn(CHECK, found, advice));
    }
    if findings.is_empty() {
        let some = if facts.more {
            "the first 10,000 files"
        } else {
            "all files"
        };
        findings.push(Finding::ok(
            CHECK,
            format!("{some} are their owner's to write"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::finding::Verdict;

    fn verdicts(data: &Path) -> Vec<Verdict> {
        let findings = judge(&Facts::gather(data));
        findings.iter().map(|it| it.verdict).collect()
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_or_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert_eq!(verdicts(&data), [Verdict::Ok]);
        fs::create_dir_all(data.join("nodes/a-master")).unwrap();
        fs::write(data.join("secret"), [0; 32]).unwrap();
        let stray = data.join("nodes/a-master/node.json");
        fs::write(&stray, "{}").unwrap();
        let nodes = [data.join("nodes"), data.join("nodes/a-master")];
        for (path, bits) in [
            (&data, 0o700),
            (&data.join("secret"), 0o600),
            (&stray, 0o644),
        ] {
            mode(path, bits);
        }
        for path in &nodes {
            mode(path, 0o755);
        }
        assert_eq!(verdicts(&data), [Verdict::Ok]);
        mode(&stray, 0o666);
        assert_eq!(verdicts(&data), [Verdict::Warn]);
        mode(&stray, 0o644);
        mode(&data, 0o755);
        assert_eq!(verdicts(&data), [Verdict::Warn]);
        let fail = Verdict::Fail(ErrorKind::Invalid);
        mode(&data.join("secret"), 0o644);
        assert_eq!(verdicts(&data), [fail]);
        mode(&data, 0o777);
        assert_eq!(verdicts(&data), [fail, fail]);
    }
}
