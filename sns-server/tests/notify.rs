//! What a service manager hears: each process of ours under a socket as systemd gives it, held by
//! the test.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::cell::RefCell;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{PATIENCE, PROGRAM, run, signal, until};
use rustix::process::Signal;
use sns_server::run_file::NodeFile;

/// As `WatchdogSec=` of the units here.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A process of ours, and what it says to its manager.
struct Managed {
    child: Child,
    socket: UnixDatagram,
    heard: RefCell<Vec<String>>,
    dir: tempfile::TempDir,
}

impl Managed {
    fn start(args: &[&str]) -> Self {
        Self::start_on(None, args)
    }

    /// On `data`, else on its own.
    fn start_on(data: Option<&Path>, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data.map_or_else(|| dir.path().join("data"), Path::to_owned);
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let child = Command::new(PROGRAM)
            .args(args)
            .env("SNS_DATA", data)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .env_remove("SNS_ROUTER")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("err")).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            socket,
            heard: RefCell::default(),
            dir,
        }
    }

    fn node(role: &str, flags: &[&str]) -> Self {
        Self::node_on(None, role, flags)
    }

    fn node_on(data: Option<&Path>, role: &str, flags: &[&str]) -> Self {
        let mut args = vec![role, "--name", "a", "--router", "http://127.0.0.1:9"];
        args.extend(["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"]);
        args.extend(flags);
        Self::start_on(data, &args)
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Takes what came.
    fn listen(&self) {
        let mut bytes = [0; 4_096];
        while let Ok(count) = self.socket.recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..count]);
            let mut heard = self.heard.borrow_mut();
            heard.extend(text.lines().map(str::to_owned));
        }
    }

    /// Waits for a word that begins with `word`, and takes it out; the others that came and were not
    /// taken out yet.
    fn hears(&self, word: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.listen();
            let mut heard = self.heard.borrow_mut();
            if let Some(at) = heard.iter().position(|it| it.starts_with(word)) {
                heard.remove(at);
                return heard.clone();
            }
            let why = || std::fs::read_to_string(self.dir.path().join("err")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "never {word}, but {heard:?}; {}",
                why()
            );
        }
    }

    fn hears_nothing_of(&self, word: &str, time: Duration) {
        let end = Instant::now() + time;
        self.listen();
        self.heard.borrow_mut().clear();
        while Instant::now() < end {
            self.listen();
            let heard = self.heard.borrow();
            assert!(!heard.iter().any(|it| it == word), "{heard:?}");
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = run(&["down", "--data", self.data().to_str().unwrap()]);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn environment(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

fn process(node_dir: &Path) -> Option<u32> {
    let id = NodeFile::read(node_dir)?.process?;
    id.is_alive().then_some(id.pid)
}

#[test]
fn a_slave_says_that_it_serves_and_its_master_says_nothing() {
    let slave = Managed::node("slave", &[]);
    let others = slave.hears("READY=1");
    assert!(!others.contains(&"READY=1".to_owned()), "{others:?}");
    slave.hears("WATCHDOG=1");
    slave.hears("STATUS=a-slave; partner a-master: Serving");
    let master = until("its master runs", || {
        process(&slave.data().join("nodes/a-master"))
    });
    let given = environment(master);
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        assert!(!given.contains(variable), "{given}");
    }
    // As another program it was handed something, which is not for the master that it starts next.
    signal(slave.pid(), Signal::USR2);
    slave.hears("RELOADING=1");
    slave.hears("READY=1");
    slave.hears("STATUS=a-slave; partner a-master: Serving");
    assert!(environment(slave.pid()).contains("SNS_AGAIN"));
    let dir = slave.data().join("nodes/a-master");
    assert_eq!(process(&dir), Some(master), "it did not die");
    signal(master, Signal::KILL);
    let next = until("another master runs", || {
        process(&dir).filter(|pid| *pid != master)
    });
    let given = environment(next);
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "SNS_AGAIN"] {
        assert!(!given.contains(variable), "{given}");
    }
    signal(slave.pid(), Signal::TERM);
    slave.hears("STOPPING=1");
}

#[test]
fn a_node_that_does_nothing_leaves_the_watchdog_to_bark() {
    // Nobody else kills it for that.
    let master = Managed::node("master", &["--partner", "watch"]);
    master.hears("READY=1");
    for _ in 0..3 {
        master.hears("WATCHDOG=1");
    }
    signal(master.pid(), Signal::STOP);
    master.hears_nothing_of("WATCHDOG=1", WATCHDOG);
    signal(master.pid(), Signal::CONT);
    master.hears("WATCHDOG=1");
    // It started nobody.
    assert_eq!(process(&master.data().join("nodes/a-slave")), None);
}

#[test]
fn who_only_watches_starts_nobody_and_still_kills_who_hangs() {
    let slave = Managed::node("slave", &["--partner", "watch"]);
    slave.hears("READY=1");
    let (data, dir) = (slave.data(), slave.data().join("nodes/a-master"));
    let manager_starts = || Managed::node_on(Some(&data), "master", &["--partner", "watch"]);
    let mut master = manager_starts();
    slave.hears("STATUS=a-slave; partner a-master: Serving");
    // A death: seen, and left to the manager.
    signal(master.pid(), Signal::KILL);
    master.child.wait().unwrap();
    slave.hears("STATUS=a-slave; partner a-master: Restarting");
    cluster::pause(Duration::from_secs(2));
    assert_eq!(process(&dir), None);
    let mut master = manager_starts();
    slave.hears("STATUS=a-slave; partner a-master: Serving");
    assert_eq!(process(&dir), Some(master.pid()));
    // A hang: for the manager it is a death, too.
    signal(master.pid(), Signal::STOP);
    let ended = until("it is killed", || master.child.try_wait().unwrap());
    assert_eq!(ended.signal(), Some(9), "{ended:?}");
}

#[test]
fn hup_reads_files_anew_and_usr2_is_another_program_in_the_same_process() {
    let master = Managed::node("master", &["--partner", "watch"]);
    master.hears("READY=1");
    signal(master.pid(), Signal::HUP);
    master.hears("RELOADING=1");
    master.hears("MONOTONIC_USEC=");
    master.hears("READY=1");
    let before = NodeFile::read(&master.data().join("nodes/a-master")).unwrap();
    assert!(!environment(master.pid()).contains("SNS_AGAIN"));

    signal(master.pid(), Signal::USR2);
    master.hears("RELOADING=1");
    let others = master.hears("READY=1");
    assert!(!others.contains(&"STOPPING=1".to_owned()), "{others:?}");
    assert!(environment(master.pid()).contains("SNS_AGAIN"));
    let after = until("its file says so", || {
        NodeFile::read(&master.data().join("nodes/a-master")).filter(|file| !file.stopping)
    });
    // The same process at the same ports, although these were drawn.
    assert_eq!(after, before);
}

#[test]
fn a_router_and_an_up_say_so_too() {
    let router = Managed::start(&["router", "--listen", "127.0.0.1:0"]);
    router.hears("READY=1");
    router.hears("WATCHDOG=1");
    signal(router.pid(), Signal::USR2);
    router.hears("RELOADING=1");
    router.hears("READY=1");

    let up = Managed::start(&["up", "--servers", "1", "--listen", "127.0.0.1:0"]);
    let others = up.hears("READY=1");
    assert!(!others.contains(&"READY=1".to_owned()), "{others:?}");
    up.hears("WATCHDOG=1");
    let slave = until("a slave runs", || process(&up.data().join("nodes/a-slave")));
    assert!(!environment(slave).contains("NOTIFY_SOCKET"));
    signal(up.pid(), Signal::TERM);
    up.hears("STOPPING=1");
}
