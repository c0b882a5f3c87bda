//! The same process, as the program that is on disk now: how a server is replaced by a new version
//! of itself.
//!
//! A server that is asked to (SIGUSR2) drains as for any stop, and instead of ending executes the
//! program anew, with the arguments and the environment that it had. Number, parent and place in its
//! control group stay: whoever watches it, be it the partner, `up` or a service manager, need not
//! know. What the arguments do not say (ports that were drawn) is handed over in a variable. Signals
//! that come meanwhile stay pending for the new program (see [`shutdown`](crate::shutdown)).

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsString};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::unistd::execve;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::pair::process;

/// Holds the [`Handover`] while the new program starts.
pub const VARIABLE: &str = "SNS_AGAIN";

/// Its file may be gone from the disk; the kernel still has what it runs.
const SELF: &str = "/proc/self/exe";

/// What a process tells the program that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// To whom: nobody else believes it.
    pub pid: u32,
    /// Drawn each time: tells one life of a process from the next.
    pub life: u64,
    /// Where each flag with an address had it listen.
    pub places: BTreeMap<String, SocketAddr>,
}

/// Nobody wants it; somebody does; it is decided.
static STATE: AtomicU8 = AtomicU8::new(NO);
const NO: u8 = 0;
const WANTED: u8 = 1;
const SETTLED: u8 = 2;

static PLACES: Mutex<BTreeMap<String, SocketAddr>> = Mutex::new(BTreeMap::new());

/// Whether this process goes on as another program once it has drained.
pub fn wanted() -> bool {
    STATE.load(Ordering::Acquire) != NO
}

/// Whether it shall; the last word counts, until it is [settled](settle): then it says `false`.
pub(crate) fn want(again: bool) -> bool {
    let wish = if again { WANTED } else { NO };
    let change = |state| (state != SETTLED).then_some(wish);
    let changed = STATE.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    changed.is_ok()
}

/// Decides: whether it is wanted, once and for all. Signals that come later are for the program that
/// follows.
pub(crate) fn settle() -> bool {
    let change = |state| (state != NO).then_some(SETTLED);
    let changed = STATE.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    changed.is_ok()
}

/// Whether that was decided.
pub(crate) fn is_settled() -> bool {
    STATE.load(Ordering::Acquire) == SETTLED
}

/// What was handed over to this process; `None` where it was started by another one.
pub fn before() -> Option<&'static Handover> {
    static BEFORE: OnceLock<Option<Handover>> = OnceLock::new();
    let read = || {
        let text = std::env::var(VARIABLE).ok()?;
        let handover: Handover = serde_json::from_str(&text).ok()?;
        (handover.pid == std::process::id()).then_some(handover)
    };
    BEFORE.get_or_init(read).as_ref()
}

/// Where `flag` listened before, if its port is to be drawn.
pub(crate) fn place_of(flag: &str, asked: SocketAddr) -> Option<SocketAddr> {
    let place = before()?.places.get(flag)?;
    (asked.port() == 0 && place.ip() == asked.ip()).then_some(*place)
}

/// Keeps where `flag` listens.
pub(crate) fn note_place(flag: &str, place: SocketAddr) {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    places.insert(flag.to_owned(), place);
}

/// Which life the process `pid` lives: 0 until it was replaced for the first time; `None` when that
/// cannot be read.
pub(crate) fn life_of(pid: u32) -> Option<u64> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let text = variables.find_map(|it| it.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="));
    let handover = text.and_then(|text| serde_json::from_slice::<Handover>(text).ok());
    Some(handover.map_or(0, |it| if it.pid == pid { it.life } else { 0 }))
}

/// Executes the program; comes back only when that fails. One that is no program, or is gone, is not
/// executed: then the one that runs goes on.
pub fn exec() -> Failure {
    let program = match process::program() {
        Ok(program) => program,
        Err(e) => return Failure::io("cannot find this program", &e),
    };
    let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let handover = Handover {
        pid: std::process::id(),
        // 0 is the first life.
        life: rand::random_range(1..=u64::MAX),
        places: places.clone(),
    };
    drop(places);
    let Ok(handover) = serde_json::to_string(&handover) else {
        return Failure::unavailable("cannot write down where this process listens");
    };
    let refused = execute(&program, &program, &handover);
    tracing::error!(?program, error = %refused, "cannot run the program on disk: the former goes on");
    execute(SELF.as_ref(), &program, &handover);
    Failure::io(format!("cannot run {}", program.display()), &refused)
}

/// Executes `file` under the name `program`. Not by way of the standard library: that hands what is no
/// program to a shell.
fn execute(file: &Path, program: &Path, handover: &str) -> io::Error {
    let words = std::env::args_os().skip(1);
    let words = std::iter::once(program.as_os_str().to_owned()).chain(words);
    let others = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
    let variables = others.chain([(VARIABLE.into(), handover.into())]);
    let variables = variables.map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let path = CString::new(file.as_os_str().as_bytes());
    let (Ok(path), Ok(words), Ok(variables)) = (path, words_of(words), words_of(variables)) else {
        return io::Error::other("a word holds a zero byte");
    };
    match execve(&path, &words, &variables) {
        Ok(never) => match never {},
        Err(refused) => refused.into(),
    }
}

fn words_of(words: impl Iterator<Item = OsString>) -> Result<Vec<CString>, NulError> {
    words.map(|word| CString::new(word.into_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_not_replaced_lives_its_first_life() {
        assert_eq!(before(), None);
        assert_eq!(life_of(std::process::id()), Some(0));
        assert_eq!(place_of("--listen", "127.0.0.1:0".parse().unwrap()), None);
    }
}
