//! What is mounted where, as `/proc/self/mountinfo` tells it.

use std::path::{Path, PathBuf};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is.
    pub(super) at: PathBuf,
    /// `ext4`, `tmpfs`, …
    pub(super) kind: String,
    /// Of the mount and of the file system, all of them.
    pub(super) options: Vec<String>,
}

impl Mount {
    /// The mount that `path`, which is absolute and has no links, lies on.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let text = std::fs::read("/proc/self/mountinfo").ok()?;
        find(&String::from_utf8_lossy(&text), path)
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|it| it == option)
    }
}

/// The longest mount point that the path begins with; of several on one another the last, which
/// hides the others.
fn find(text: &str, path: &Path) -> Option<Mount> {
    let mounts = text.lines().filter_map(parse);
    let above = mounts.filter(|mount| path.starts_with(&mount.at));
    above.max_by_key(|mount| mount.at.components().count())
}

/// `36 35 98:0 /root /at rw,noatime master:1 - ext4 /dev/x rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (mount, system) = line.split_once(" - ")?;
    let mount: Vec<&str> = mount.split(' ').collect();
    let system: Vec<&str> = system.split(' ').collect();
    let options = [mount.get(5)?, system.get(2)?].map(|all| all.split(','));
    Some(Mount {
        at: unescaped(mount.get(4)?).into(),
        kind: (*system.first()?).to_owned(),
        options: options.into_iter().flatten().map(str::to_owned).collect(),
    })
}

/// Blanks and the like are written as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        if let (Some(code), Some(rest)) = (code, part.get(3..)) {
            out.push(char::from(code));
            out.push_str(rest);
        } else {
            out.push('\\');
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 98:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 27 0:24 / /srv/a\\040b rw,nosuid - tmpfs tmpfs rw,size=1024k
31 27 98:1 / /srv ro,noatime - xfs /dev/vdb rw,nobarrier
";

    #[test]
    fn a_path_lies_on_the_nearest_mount_above_it() {
        let on = |path: &str| find(TEXT, Path::new(path)).unwrap();
        assert_eq!(on("/srv/a b/c").kind, "tmpfs");
        assert_eq!(on("/srv/a").kind, "xfs");
        assert!(on("/srv").has("ro") && on("/srv").has("nobarrier"));
        assert_eq!(on("/srv2").kind, "ext4");
        assert!(find("", Path::new("/")).is_none());
    }

    #[test]
    fn this_machine_has_something_mounted() {
        assert!(Mount::of(Path::new("/")).is_some());
    }
}
