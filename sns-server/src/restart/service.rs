//! [`Service`]: who is to be replaced, in which order, and whether one may begin.

use std::path::{Path, PathBuf};

use http::Uri;
use rustix::process::Signal;
use sns_proto::v1::{Server, ServerState};
use tonic::Status;

use super::look::{self, FileId};
use super::replace::Stop;
use crate::failure::{Failure, Result};
use crate::net::tls::{Dial, Tls, TlsFiles};
use crate::output;
use crate::pair::driver::partner;
use crate::pair::heartbeat::{self, Asker};
use crate::pair::machine::Last;
use crate::pair::process::{self, ProcessId};
use crate::run_file::{self, NodeFile, RunFile};
use crate::status_cmd;
use crate::telemetry::escaped;
use crate::token::{InternalKey, Purpose};

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// As in `status`; `router`, `up`.
    pub(super) name: String,
    pub(super) what: What,
    pub(super) id: ProcessId,
    /// The file that it will run.
    pub(super) program: PathBuf,
    pub(super) version: Option<String>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Node,
    Router(Uri),
    Up,
}

/// A router that nodes announce to.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) uri: Uri,
    pub(super) dial: Dial,
}

/// All that runs on a data directory, on this machine.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) data: PathBuf,
    /// In the order in which they are replaced.
    pub(super) subjects: Vec<Subject>,
    pub(super) routers: Vec<Router>,
    /// The gateway of the course, which is left alone: its clients know no other place.
    pub(super) course: Option<ProcessId>,
    pub(super) asker: Asker,
    pub(super) announce: Option<InternalKey>,
    /// This program.
    pub(super) own: FileId,
}

impl Service {
    /// What runs on `data`.
    ///
    /// # Errors
    /// `Unavailable`: nothing does, or one cannot tell.
    pub(super) fn find(data: &Path) -> Result<Self> {
        let own = look::file_id("/proc/self/exe".as_ref());
        let own = own.ok_or_else(|| Failure::unavailable("/proc is not there"))?;
        let mut service = Self {
            data: data.to_owned(),
            subjects: Vec::new(),
            routers: Vec::new(),
            course: None,
            asker: Asker::new("restart", InternalKey::of_data(data, Purpose::Pair)?),
            announce: InternalKey::of_data(data, Purpose::Announce).ok(),
            own,
        };
        let mut nodes = run_file::living(data)?;
        // By pair; of each the slave first.
        nodes.sort_by_key(|node| {
            let (pair, role) = node.node.rsplit_once('-').unwrap_or((&node.node, ""));
            (pair.to_owned(), role != "slave")
        });
        for node in &nodes {
            if let Some(file) = &node.file {
                service.add_node(&node.node, file);
            }
        }
        let launcher = process::lock_holder(data).ok().flatten();
        let run = RunFile::read(data).filter(|run| launcher == Some(run.up.pid));
        service.add_routers(run.as_ref());
        let course = run.as_ref().and_then(|run| run.course.clone());
        service.course = course.filter(ProcessId::is_alive);
        if let Some(run) = &run
            && run.up.is_alive()
            && process::is_ours(&run.up)
        {
            let (program, version) = of_file(run.program.as_ref(), run.up.pid);
            service.add("up", What::Up, run.up.clone(), program, version);
        }
        if service.subjects.is_empty() {
            return Err(Failure::unavailable(format!(
                "nothing runs on {}: `sns-server up` starts it",
                escaped(&data.display().to_string())
            )));
        }
        Ok(service)
    }

    fn add_node(&mut self, name: &str, file: &NodeFile) {
        for uri in file.routers.iter().filter_map(|it| it.parse().ok()) {
            self.know_router(uri, file.tls.as_ref());
        }
        if let Some(id) = &file.process {
            let (program, version) = of_file(file.program.as_ref(), id.pid);
            self.add(name, What::Node, id.clone(), program, version);
        }
    }

    /// Those that run on this machine are replaced; all of them are asked.
    fn add_routers(&mut self, run: Option<&RunFile>) {
        let kept = run.and_then(|run| Some((run.router_url.parse::<Uri>().ok()?, run)));
        if let Some((uri, run)) = &kept {
            self.know_router(uri.clone(), run.tls.as_ref());
        }
        for router in self.routers.clone() {
            let of_up = kept.as_ref().filter(|(uri, _)| *uri == router.uri);
            let id = match of_up {
                Some((_, run)) => run.router.clone().filter(process::is_ours),
                None => router.uri.port_u16().and_then(look::router_on),
            };
            if let Some(id) = id.filter(ProcessId::is_alive) {
                let program = of_up.and_then(|(_, run)| run.program.as_ref());
                let (program, _) = of_file(program, id.pid);
                let authority = router.uri.authority().map(ToString::to_string);
                let name = match of_up {
                    Some(_) => "router".to_owned(),
                    None => format!("router {}", authority.unwrap_or_default()),
                };
                self.add(&name, What::Router(router.uri), id, program, None);
            } else {
                let uri = escaped(&router.uri.to_string());
                output::message(&format!(
                    "{uri} is no router of this machine: run this there, too"
                ));
            }
        }
    }

    fn know_router(&mut self, uri: Uri, tls: Option<&TlsFiles>) {
        if self.routers.iter().all(|known| known.uri != uri) {
            let dial = dial(tls);
            self.routers.push(Router { uri, dial });
        }
    }

    fn add(
        &mut self,
        name: &str,
        what: What,
        id: ProcessId,
        program: PathBuf,
        version: Option<String>,
    ) {
        // Whoever runs the same file has the same version.
        let runs = look::runs(id.pid);
        let same = |other: &&Subject| runs.is_some() && look::runs(other.id.pid) == runs;
        let version = version.or_else(|| self.subjects.iter().find(same)?.version.clone());
        self.subjects.push(Subject {
            name: name.to_owned(),
            what,
            id,
            program,
            version,
        });
    }

    /// Refuses to begin where it could not end well.
    ///
    /// # Errors
    /// `Unavailable`: a process cannot be asked, or would not run this program; or, unless `force`, a
    /// server is not there or does not serve.
    pub(super) async fn check(&self, force: bool) -> Result<()> {
        for subject in &self.subjects {
            let (name, pid) = (&subject.name, subject.id.pid);
            if look::file_id(&subject.program) != Some(self.own) {
                let program = escaped(&subject.program.display().to_string());
                return Err(Failure::unavailable(format!(
                    "{name} (process {pid}) would go on as {program}, and that is not this program: \
                     put the new program there, and run this command with it: \
                     {program} restart --rolling"
                )));
            }
            if !look::takes(pid, Signal::USR2) {
                return Err(Failure::unavailable(format!(
                    "{name} (process {pid}) starts just now, or is of a version that cannot replace \
                     itself: try again in a moment, or use `sns-server down` and `sns-server up`"
                )));
            }
        }
        for subject in &self.subjects {
            let (program, pid) = (subject.program.clone(), subject.id.pid);
            let tried = tokio::task::spawn_blocking(move || look::would_run(&program, pid)).await;
            if let Ok(Err(why)) = tried {
                return Err(Failure::unavailable(format!(
                    "{} (process {pid}) would not start again, and nothing was replaced: {}",
                    subject.name,
                    escaped(&why)
                )));
            }
        }
        let mut wrong = self.missing();
        for subject in &self.subjects {
            if let Err(why) = self.serves(subject).await {
                wrong.push(why);
            }
        }
        if wrong.is_empty() || force {
            for why in wrong {
                output::message(&format!("going on all the same: {}", escaped(&why)));
            }
            return Ok(());
        }
        Err(Failure::unavailable(format!(
            "the service is not whole, and nothing was replaced: {}; wait, put that right, or say \
             --force",
            escaped(&wrong.join("; "))
        )))
    }

    /// Nodes that should run, and do not.
    fn missing(&self) -> Vec<String> {
        let known = |node: &String| self.subjects.iter().any(|it| it.name == *node);
        let nodes = run_file::nodes(&self.data).into_iter();
        let gone = nodes.filter(|node| !known(node)).filter_map(|node| {
            let file = NodeFile::read(&self.data.join("nodes").join(&node));
            match partner::last(file.as_ref()) {
                Last::Died(_) => Some(format!("{node} is down")),
                Last::Asked(_) | Last::Nobody => None,
            }
        });
        gone.collect()
    }

    async fn serves(&self, subject: &Subject) -> Result<(), String> {
        match &subject.what {
            What::Up => Ok(()),
            What::Router(uri) => match self.list(uri).await {
                Ok(_) => Ok(()),
                Err(why) => Err(format!(
                    "{} does not answer: {}",
                    subject.name,
                    why.message()
                )),
            },
            What::Node => match self.ask(&subject.name).await.map(|it| it.state()) {
                Some(ServerState::Serving) => Ok(()),
                Some(state) => Err(format!("{} is {}", subject.name, status_cmd::state(state))),
                None => Err(format!("{} does not answer", subject.name)),
            },
        }
    }

    /// What a node says of itself.
    pub(super) async fn ask(&self, node: &str) -> Option<Server> {
        let file = NodeFile::read(&self.data.join("nodes").join(node))?;
        let dial = dial(file.tls.as_ref());
        let answer = heartbeat::ask_once(&self.asker, &file.peer_address, &dial).await;
        answer.ok()?.server
    }

    /// Whom a router knows.
    pub(super) async fn list(&self, uri: &Uri) -> Result<Vec<Server>, Status> {
        let known = self.routers.iter().find(|router| router.uri == *uri);
        let dial = known.map_or(Dial::Plain, |router| router.dial.clone());
        status_cmd::list(uri, &dial, self.announce.as_ref()).await
    }

    /// What to tell when `at` did not come back.
    pub(super) fn stopped_at(&self, at: &Subject, new: &[&str], stop: &Stop) -> Failure {
        let (what, why, touched) = match stop {
            Stop::Before(why) => ("was not touched", why, false),
            Stop::After(why) => ("did not come back", why, true),
        };
        let is_old = |it: &&Subject| !(touched && it.name == at.name || new.contains(&&*it.name));
        let old: Vec<&str> = self
            .subjects
            .iter()
            .filter(is_old)
            .map(|it| &*it.name)
            .collect();
        let list = |names: &[&str]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        Failure::unavailable(format!(
            "{} {what}: {}; new: {}; untouched: {}. To go back, put the former program at \
             {} and run `{} restart --rolling --force` with it",
            escaped(&at.name),
            escaped(why),
            list(new),
            list(&old),
            escaped(&at.program.display().to_string()),
            escaped(&at.program.display().to_string()),
        ))
    }
}

/// As who wrote the file connects.
fn dial(files: Option<&TlsFiles>) -> Dial {
    match files.map(|files| Tls::open(files.clone())) {
        Some(Ok(tls)) => Dial::mutual(Some(&tls)),
        Some(Err(why)) => {
            tracing::warn!(%why, "cannot ask over TLS");
            Dial::Plain
        }
        None => Dial::Plain,
    }
}

/// The program that a process said it runs; else the file that the kernel names.
fn of_file(said: Option<&run_file::Program>, pid: u32) -> (PathBuf, Option<String>) {
    let said = said.map(|said| (said.program.clone(), Some(said.version.clone())));
    said.unwrap_or_else(|| {
        let program = process::command_line(pid).map(|(program, _)| program);
        (program.unwrap_or_default(), None)
    })
}
