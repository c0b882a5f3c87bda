//! [`Partner`]: the partner's place in the data directory: who holds its lock, how to start it, how
//! it ended. All of it may wait for the disk.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};

use http::Uri;
use sns_proto::v1::ServerRole;
use tokio::process::Child;

use crate::config::{DataConfig, NodeConfig, OFF, PageFlags, node_name};
use crate::doors::Doors;
use crate::failure::{Failure, Result};
use crate::pair::machine::{Exit, Last, Rules};
use crate::pair::process::{self, Handle, ProcessId};
use crate::ports;
use crate::run_file::NodeFile;

/// Who holds the partner's lock.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The process that the file names.
    Living {
        id: ProcessId,
        /// It has run for a while.
        old: bool,
        /// It was asked to stop.
        draining: bool,
    },
    /// A process that was started as this node, and has not said yet that it is.
    Opening(ProcessId),
    /// Any other process.
    Held(String),
    Free(Last),
}

/// Why nothing was started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// Somebody runs already.
    Held(Seen),
    Failed(String),
}

/// A node that this process may start and watch.
#[derive(Debug)]
pub(crate) struct Partner {
    role: ServerRole,
    pair: String,
    /// Where it listens when its file does not say.
    ip: IpAddr,
    data: DataConfig,
    routers: Vec<Uri>,
    page: PageFlags,
    doors: Doors,
    dir: PathBuf,
    program: PathBuf,
    /// As the last look found it, so that others need not wait for the disk.
    file: Mutex<Option<NodeFile>>,
}

impl Partner {
    /// The partner of `node`; `data` is the absolute path of the data directory.
    pub(crate) fn new(node: &NodeConfig, ip: IpAddr, data: PathBuf) -> Result<Self> {
        let role = match node.role {
            ServerRole::Master => ServerRole::Slave,
            _ => ServerRole::Master,
        };
        let data = DataConfig {
            path: data,
            ..node.data.clone()
        };
        let (routers, page) = (node.routers.clone(), node.page_flags());
        let doors = node.doors.clone();
        Self::node(role, node.pair.clone(), ip, data, routers, page, doors)
    }

    /// Any node, as the launcher starts it.
    pub(crate) fn node(
        role: ServerRole,
        pair: String,
        ip: IpAddr,
        data: DataConfig,
        routers: Vec<Uri>,
        page: PageFlags,
        doors: Doors,
    ) -> Result<Self> {
        let dir = data.path.join("nodes").join(node_name(&pair, role));
        Ok(Self {
            role,
            file: Mutex::new(NodeFile::read(&dir)),
            dir,
            pair,
            ip,
            data,
            routers,
            page,
            doors,
            program: process::program().map_err(|e| Failure::io("cannot find this program", &e))?,
        })
    }

    /// Where its own things are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its file, if there is one, as it was found last.
    pub(crate) fn file(&self) -> Option<NodeFile> {
        let file = self.file.lock();
        file.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, file: Option<NodeFile>) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    fn read(&self) -> Option<NodeFile> {
        let file = NodeFile::read(&self.dir);
        self.keep(file.clone());
        file
    }

    /// Who holds its lock.
    pub(crate) fn look(&self) -> Seen {
        let file = self.read();
        match process::lock_holder(&self.dir.join("lock")) {
            Ok(None) => Seen::Free(last(file.as_ref())),
            Ok(Some(pid)) => {
                let said = file.and_then(|file| {
                    // Whoever is found hung is killed: never on the word of a file alone.
                    let ours =
                        |id: &ProcessId| id.pid == pid && id.is_alive() && process::is_ours(id);
                    let id = file.process.filter(ours)?;
                    Some((id, file.stopping))
                });
                match said {
                    Some((id, draining)) => Seen::Living {
                        old: id.age() >= Rules::PAIR.served,
                        id,
                        draining,
                    },
                    None => self
                        .opening(pid)
                        .map_or_else(|| Seen::Held(format!("process {pid}")), Seen::Opening),
                }
            }
            // Better not to start one than to start a second one.
            Err(e) => Seen::Held(format!("nobody can tell whom: {e}")),
        }
    }

    /// The process `pid`, which holds the lock, if its command line is that of this node. It may be
    /// stopped before it writes its file, and then somebody has to know whom to kill.
    fn opening(&self, pid: u32) -> Option<ProcessId> {
        let id = ProcessId::of(pid)?;
        let (program, args) = process::command_line(pid)?;
        let named = |two: &[String]| two == ["--name", &self.pair];
        // It may be started through a link.
        let started = || self.program.canonicalize().ok();
        let ours = (program == self.program || Some(&program) == started().as_ref())
            && args.first().is_some_and(|role| role == self.role())
            && args.windows(2).any(named);
        // Since its start time was read it has kept the lock: the number still means the same one.
        let holder = process::lock_holder(&self.dir.join("lock"));
        (ours && matches!(holder, Ok(Some(still)) if still == pid)).then_some(id)
    }

    fn role(&self) -> &'static str {
        match self.role {
            ServerRole::Slave => "slave",
            _ => "master",
        }
    }

    /// Starts it, unless its lock is held. Call it inside a tokio runtime.
    pub(crate) fn start(&self, restarts: u64) -> Result<(Child, Handle), NotStarted> {
        match self.look() {
            Seen::Free(_) => {}
            held => return Err(NotStarted::Held(held)),
        }
        let failed =
            |what: &str, why: &dyn std::fmt::Display| NotStarted::Failed(format!("{what}: {why}"));
        let file = self.read().unwrap_or_default();
        let address = place(&file.address, self.ip, &[]);
        let address = address.map_err(|e| failed("it has no address", &e))?;
        let peer = place(&file.peer_address, self.ip, &[address]);
        let peer = peer.map_err(|e| failed("it has no address", &e))?;
        let http = match self.page.http {
            Some(ip) => {
                let place = place(&file.http_address, ip, &[address, peer]);
                Some(place.map_err(|e| failed("its page has no address", &e))?)
            }
            None => None,
        };
        let file = NodeFile {
            // Kept, so that a death before the new one writes its name is still a death.
            process: file.process,
            address: address.to_string(),
            peer_address: peer.to_string(),
            http_address: http.map_or(String::new(), |http| http.to_string()),
            restarts,
            stopping: false,
            starting: true,
            tls: self.doors.tls.clone(),
            ..NodeFile::default()
        };
        file.write(&self.dir).map_err(|e| failed("its file", &e))?;
        self.keep(Some(file));
        let args = self.args(address, peer, http);
        let child = process::spawn(&self.program, &args, &self.dir)
            .map_err(|e| failed(&format!("{}", self.program.display()), &e))?;
        // Not reaped yet, so the number is still its own, also if it has ended by now.
        let handle = child
            .id()
            .and_then(ProcessId::of)
            .and_then(|id| Handle::open(id).transpose());
        match handle {
            Some(Ok(handle)) => Ok((child, handle)),
            Some(Err(e)) => Err(failed("it cannot be watched", &e)),
            None => {
                let why = process::last_words(&self.dir);
                let why = why.unwrap_or_else(|| "see its server.log".to_owned());
                Err(failed("it ended at once", &why))
            }
        }
    }

    fn args(
        &self,
        address: SocketAddr,
        peer: SocketAddr,
        http: Option<SocketAddr>,
    ) -> Vec<OsString> {
        let routers: Vec<String> = self
            .routers
            .iter()
            .map(|uri| uri.to_string().trim_end_matches('/').to_owned())
            .collect();
        // Its log is for programs, its last words too.
        let mut args: Vec<OsString> = vec![self.role().into(), "--json".into()];
        let mut flag = |name: &str, value: OsString| args.extend([name.into(), value]);
        flag("--name", self.pair.clone().into());
        flag("--data", self.data.path.clone().into());
        flag("--listen", address.to_string().into());
        flag("--peer-listen", peer.to_string().into());
        flag("--router", routers.join(",").into());
        let http = http.map_or_else(|| OFF.to_owned(), |http| http.to_string());
        flag("--http", http.into());
        flag("--slow-call-ms", self.page.slow_call_ms.to_string().into());
        for (name, value) in self.page.auth.flags() {
            flag(name, value.into());
        }
        flag(
            "--segment-bytes",
            self.data.segment_bytes.to_string().into(),
        );
        args.extend(self.page.limits.args());
        args.extend(self.doors.args());
        args.extend(self.data.log.args());
        if self.data.force_network_fs {
            args.push("--force-network-fs".into());
        }
        args
    }

    /// How it ended. `status` is known of one's own children only.
    pub(crate) fn exit(&self, pid: u32, status: Option<ExitStatus>) -> Exit {
        let file = self.read().filter(|file| {
            let by = file.process.as_ref();
            by.is_some_and(|id| id.pid == pid)
        });
        let asked =
            file.is_some_and(|file| file.stops()) || status.is_some_and(|status| status.success());
        let holder = process::lock_holder(&self.dir.join("lock"));
        let lock_held = matches!(holder, Ok(Some(other)) if other != pid);
        Exit {
            asked,
            lock_held: lock_held && !asked,
            why: self.why(pid, status),
        }
    }

    fn why(&self, pid: u32, status: Option<ExitStatus>) -> String {
        let Some(status) = status else {
            return format!("process {pid} died");
        };
        if let Some(signal) = status.signal() {
            return format!("process {pid} was ended by signal {signal}");
        }
        let code = status.code().unwrap_or_default();
        match process::last_words(&self.dir) {
            Some(words) => format!("process {pid} ended with exit code {code}: {words}"),
            None => format!("process {pid} ended with exit code {code}"),
        }
    }
}

/// Where it was, if that is free and not one of those `taken`; else somewhere else: the routers tell. A
/// file may say where on `ip`, never that it is to be reached from elsewhere.
fn place(address: &str, ip: IpAddr, taken: &[SocketAddr]) -> Result<SocketAddr> {
    if let Ok(address) = address.parse::<SocketAddr>()
        && address.ip() == ip
        && !taken.contains(&address)
        && ports::is_free(address)
    {
        return Ok(address);
    }
    let drawn = ports::draw(ip, 1 + taken.len())?.into_iter();
    let mut drawn = drawn.map(|port| SocketAddr::new(ip, port));
    // One more than are taken: there is always one left.
    let free = drawn.find(|address| !taken.contains(address));
    free.ok_or_else(|| Failure::unavailable(format!("{ip} has no free port")))
}

/// Who ran last, as its file has it.
pub(crate) fn last(file: Option<&NodeFile>) -> Last {
    match file {
        Some(
            file @ NodeFile {
                process: Some(id), ..
            },
        ) if id.is_of_this_boot() => {
            if file.stops() {
                Last::Asked(id.pid)
            } else {
                Last::Died(id.pid)
            }
        }
        // Its first start, and it did not come far enough to say who it is.
        Some(NodeFile {
            process: None,
            starting: true,
            ..
        }) => Last::Died(0),
        _ => Last::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_interface_is_not_taken_from_a_file() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let port = ports::draw(here, 1).unwrap()[0];
        let kept = place(&format!("127.0.0.1:{port}"), here, &[]).unwrap();
        assert_eq!(kept, SocketAddr::new(here, port));
        for crafted in ["0.0.0.0", "[::]", "127.0.0.2", "[::1]"] {
            let drawn = place(&format!("{crafted}:{port}"), here, &[]).unwrap();
            assert_eq!(drawn.ip(), here, "{crafted}");
        }
    }
}
