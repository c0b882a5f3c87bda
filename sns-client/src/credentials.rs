//! The tokens of a person's logins, in a file of the person's own.
//!
//! A token belongs to a name at certain routers: it is sent to nobody else. Two programs may change
//! the file at once: each holds a lock meanwhile, and whoever reads finds all of one or the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sns_client::{Scope, Session};

/// Logins kept; the oldest goes first.
const SESSIONS_MAX: usize = 64;
/// More is not read: the file is not ours then.
const FILE_BYTES: u64 = 1024 * 1024;

/// One login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// As they were typed, in order.
    pub(crate) routers: Vec<String>,
    pub(crate) username: String,
    pub(crate) token: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at_ms: u64,
    /// Who one is at these routers, unless somebody else is named.
    pub(crate) current: bool,
}

impl Kept {
    pub(crate) fn new(routers: &[String], session: Session) -> Self {
        Self {
            routers: routers.to_vec(),
            username: session.username,
            token: session.token,
            scopes: names(&session.scopes),
            expires_at_ms: session.expires_at_ms,
            current: true,
        }
    }
}

pub(crate) fn names(scopes: &[Scope]) -> Vec<String> {
    scopes
        .iter()
        .map(|scope| scope.as_str().to_owned())
        .collect()
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    sessions: Vec<Kept>,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Credentials {
    path: PathBuf,
}

impl Credentials {
    /// `$XDG_CONFIG_HOME/sns/credentials.json`, else `~/.config/sns/credentials.json`; `None`
    /// without a home.
    pub(crate) fn of_home() -> Option<Self> {
        let absolute = |name: &str| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let config = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
        Some(Self {
            path: config.join("sns/credentials.json"),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The login at these routers: of `user`, or the current one.
    ///
    /// # Errors
    /// The file cannot be read, is none of ours, or others may read it.
    pub(crate) fn find(&self, routers: &[String], user: Option<&str>) -> io::Result<Option<Kept>> {
        let wanted = |kept: &Kept| match user {
            Some(user) => kept.username.eq_ignore_ascii_case(user),
            None => kept.current,
        };
        let all = self.read()?.sessions.into_iter();
        Ok(all.filter(|kept| kept.routers == routers).find(wanted))
    }

    /// All logins at these routers, by name.
    ///
    /// # Errors
    /// As [`Credentials::find`].
    pub(crate) fn at(&self, routers: &[String]) -> io::Result<Vec<Kept>> {
        let mut all = self.read()?.sessions;
        all.retain(|kept| kept.routers == routers);
        all.sort_by(|one, other| one.username.cmp(&other.username));
        Ok(all)
    }

    /// Keeps a login, in the place of an earlier one of the same name, and makes it current.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn keep(&self, new: Kept) -> io::Result<()> {
        self.change(|sessions| {
            sessions.retain(|old| old.routers != new.routers || old.username != new.username);
            for old in sessions.iter_mut().filter(|old| old.routers == new.routers) {
                old.current = false;
            }
            sessions.push(new);
            let over = sessions.len().saturating_sub(SESSIONS_MAX);
            sessions.drain(..over);
            true
        })
        .map(drop)
    }

    /// Forgets the login of `user` at these routers; whether there was one.
    ///
    /// # Errors
    /// As [`Credentials::keep`].
    pub(crate) fn forget(&self, routers: &[String], user: &str) -> io::Result<bool> {
        self.change(|sessions| {
            let before = sessions.len();
            sessions.retain(|kept| kept.routers != routers || kept.username != user);
            sessions.len() < before
        })
    }

    /// Makes the login of `user` the current one; false when there is none.
    ///
    /// # Errors
    /// As [`Credentials::keep`].
    pub(crate) fn switch(&self, routers: &[String], user: &str) -> io::Result<bool> {
        self.change(|sessions| {
            let there = |kept: &&mut Kept| kept.routers == routers;
            if !sessions
                .iter_mut()
                .filter(there)
                .any(|kept| kept.username == user)
            {
                return false;
            }
            for kept in sessions.iter_mut().filter(there) {
                kept.current = kept.username == user;
            }
            true
        })
    }

    fn read(&self) -> io::Result<Contents> {
        let file = match File::open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
            other => other?,
        };
        let found = file.metadata()?;
        if !found.is_file() || found.len() > FILE_BYTES {
            return Err(io::Error::other("it is no file of ours"));
        }
        if found.mode() & 0o077 != 0 {
            let path = self.path.display();
            return Err(io::Error::other(format!(
                "others may read it: `chmod 600 {path}`, and log in again if somebody did"
            )));
        }
        let broken =
            |e| io::Error::other(format!("it is broken ({e}): remove it, and log in again"));
        serde_json::from_reader(io::BufReader::new(file)).map_err(broken)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Kept>) -> bool) -> io::Result<bool> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.with_extension("lock"))?;
        lock.lock()?;
        let mut contents = self.read()?;
        if !change(&mut contents.sessions) {
            return Ok(false);
        }
        // A temporary file is its owner's alone from the start.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, &contents).map_err(io::Error::other)?;
        writeln!(file)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn kept(routers: &[&str], username: &str) -> Kept {
        Kept {
            routers: routers.iter().map(|&router| router.to_owned()).collect(),
            username: username.to_owned(),
            token: format!("token of {username}"),
            scopes: vec!["read".to_owned()],
            expires_at_ms: 7,
            current: true,
        }
    }

    #[test]
    fn the_last_login_is_current_until_another_is_chosen() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Credentials {
            path: dir.path().join("a/credentials.json"),
        };
        let (here, there) = (["r:1".to_owned()], ["r:2".to_owned()]);
        assert_eq!(file.find(&here, None).expect("none"), None);
        file.keep(kept(&["r:1"], "alice")).expect("kept");
        file.keep(kept(&["r:1"], "bob")).expect("kept");
        file.keep(kept(&["r:2"], "eve")).expect("kept");
        let current = |routers: &[String]| {
            let kept = file.find(routers, None).expect("read");
            kept.map(|kept| kept.username)
        };
        assert_eq!(current(&here).as_deref(), Some("bob"));
        assert!(file.switch(&here, "alice").expect("switched"));
        assert!(!file.switch(&here, "eve").expect("nobody"));
        assert_eq!(current(&here).as_deref(), Some("alice"));
        assert_eq!(current(&there).as_deref(), Some("eve"));
        // A token of another service is never found here.
        assert_eq!(file.find(&here, Some("eve")).expect("read"), None);
        assert!(file.find(&here, Some("BOB")).expect("read").is_some());
        assert!(file.forget(&here, "alice").expect("forgotten"));
        assert!(!file.forget(&here, "alice").expect("gone"));
        assert_eq!(current(&here), None);
        let mode = fs::metadata(&file.path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_broken_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Credentials {
            path: dir.path().join("credentials.json"),
        };
        file.keep(kept(&["r"], "alice")).expect("kept");
        let routers = ["r".to_owned()];
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).expect("set");
        let refused = file.find(&routers, None).expect_err("open to others");
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(&file.path, "{").expect("written");
        file.find(&routers, None).expect_err("broken");
        file.keep(kept(&["r"], "bob"))
            .expect_err("not written over");
    }

    #[test]
    fn it_keeps_so_many_and_no_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Credentials {
            path: dir.path().join("credentials.json"),
        };
        for n in 0..=SESSIONS_MAX {
            file.keep(kept(&["r"], &format!("u{n}"))).expect("kept");
        }
        let all = file.at(&["r".to_owned()]).expect("read");
        assert_eq!(all.len(), SESSIONS_MAX);
        assert!(all.iter().all(|kept| kept.username != "u0"));
    }
}
