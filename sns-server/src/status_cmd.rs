//! `status`: every node and router, one a line; JSON for programs, aligned columns for people.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use http::Uri;
use serde::Serialize;
use sns_core::{Clock, DataDir};
use sns_proto::escape::escape_json;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::{ListServersRequest, Server, ServerRole, ServerState};
use tokio::time::timeout;
use tonic::{Request, Status};

use crate::config::StatusConfig;
use crate::failure::{Failure, Result};
use crate::net::tls::{Dial, Tls, TlsFiles, deepest};
use crate::output;
use crate::pair::driver::partner;
use crate::pair::heartbeat::{self, Asker};
use crate::pair::machine::Last;
use crate::pair::process;
use crate::run_file::{self, NodeFile, RunFile};
use crate::telemetry::escaped;
use crate::token::{InternalKey, Purpose};

#[cfg(test)]
mod tests;

/// How long one server may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Shows what `config` asks for.
///
/// # Errors
/// `Unavailable`: no router answers. `Invalid`: there is no data.
pub async fn run(config: StatusConfig, json: bool) -> Result<()> {
    let rows = match config {
        StatusConfig::Routers(routers, dial) => by_routers(&routers, &dial).await?,
        StatusConfig::Data(data) => by_data(&data).await?,
    };
    if json {
        for row in &rows {
            let line = serde_json::to_string(row);
            let line = line.map_err(|e| Failure::invalid(format!("a row is no JSON: {e}")))?;
            output::line(&escape_json(&line))?;
        }
        return Ok(());
    }
    for line in table(&rows) {
        output::line(&line)?;
    }
    for line in disagreements(&rows) {
        output::message(&line);
    }
    Ok(())
}

/// What is shown by who wants the whole list.
pub const WHOLE_LIST: &str = "list";

/// The list of one router; one that knows this key tells all it knows.
///
/// # Errors
/// As the transport has it; `Unavailable` also after 2 s without an answer.
pub async fn list(
    router: &Uri,
    dial: &Dial,
    key: Option<&InternalKey>,
) -> Result<Vec<Server>, Status> {
    let asked = async {
        let address = router.authority().map_or("", |it| it.as_str());
        let endpoint = dial.endpoint(address);
        let endpoint = endpoint.map_err(|e| Status::invalid_argument(e.to_string()))?;
        let channel = dial.connect(&endpoint.connect_timeout(ANSWER)).await;
        let cannot = |e| Status::unavailable(format!("cannot connect: {}", deepest(&e)));
        let channel = channel.map_err(cannot)?;
        let mut client = RouterServiceClient::new(channel);
        let mut request = Request::new(ListServersRequest {});
        if let Some(key) = key {
            let shown = key.sign(WHOLE_LIST, Clock::system().now_ms());
            request.metadata_mut().insert("authorization", shown);
        }
        let answer = client.list_servers(request).await?;
        Ok(answer.into_inner().servers)
    };
    timeout(ANSWER, asked)
        .await
        .unwrap_or_else(|_| Err(Status::unavailable("no answer in time")))
}

/// One line: a node or a router. The order of the fields is the contract's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    name: String,
    pair: Option<String>,
    role: &'static str,
    address: Option<String>,
    pid: Option<u32>,
    state: &'static str,
    applied: Option<u64>,
    tail: Option<u64>,
    lag: Option<u64>,
    streams: Option<u64>,
    restarts: Option<u64>,
    digest: Option<String>,
    reason: Option<String>,
    /// Of the program; known of what runs on the data directory.
    version: Option<String>,
}

impl Row {
    fn of(server: Server) -> Self {
        // What a dead process held says nothing about now.
        let runs = server.pid != 0;
        let text = |text: String| (!text.is_empty()).then_some(text);
        let number = |number: u64| runs.then_some(number);
        Self {
            role: role(server.role()),
            state: state(server.state()),
            name: server.name,
            pair: text(server.pair),
            address: text(server.address),
            pid: runs.then_some(server.pid),
            applied: number(server.applied),
            tail: number(server.tail),
            lag: number(server.tail.saturating_sub(server.applied.saturating_add(1))),
            streams: number(server.streams),
            restarts: Some(server.restarts),
            digest: text(server.digest).filter(|_| runs),
            reason: text(server.reason),
            version: None,
        }
    }

    /// The gateway of the course, if `up` has one.
    fn course(run: &RunFile) -> Option<Self> {
        let alive = run.course.as_ref().filter(|id| id.is_alive());
        let state_of = |id: &process::ProcessId| match process::doing(id.pid) {
            "stopped" => ServerState::Hung,
            _ => ServerState::Serving,
        };
        let address = Some(run.course_address.clone()).filter(|address| !address.is_empty())?;
        Some(Self {
            name: "course".to_owned(),
            pair: None,
            role: "gateway",
            address: Some(address),
            pid: alive.map(|id| id.pid),
            state: state(alive.map_or(ServerState::Failed, state_of)),
            applied: None,
            tail: None,
            lag: None,
            streams: None,
            restarts: Some(run.course_restarts),
            digest: None,
            reason: None,
            version: None,
        })
    }

    fn router(uri: &Uri, answer: &Result<(), Status>) -> Self {
        let authority = uri.authority().map(ToString::to_string);
        let reason = answer.as_ref().err();
        Self {
            name: "router".to_owned(),
            pair: None,
            role: "router",
            address: authority,
            pid: None,
            state: state(if answer.is_ok() {
                ServerState::Serving
            } else {
                ServerState::Failed
            }),
            applied: None,
            tail: None,
            lag: None,
            streams: None,
            restarts: None,
            digest: None,
            reason: reason.map(|status| status.message().to_owned()),
            version: None,
        }
    }
}

/// Of a role, as the contract of the command line names it.
pub fn role(role: ServerRole) -> &'static str {
    match role {
        ServerRole::Master => "master",
        ServerRole::Slave => "slave",
        ServerRole::Unspecified => "unspecified",
    }
}

/// A state as `status` prints it.
pub fn state(state: ServerState) -> &'static str {
    match state {
        ServerState::Unspecified => "unspecified",
        ServerState::Starting => "starting",
        ServerState::Serving => "serving",
        ServerState::Draining => "draining",
        ServerState::Hung => "hung",
        ServerState::Restarting => "restarting",
        ServerState::Failed => "failed",
        ServerState::Stopped => "stopped",
    }
}

async fn by_routers(routers: &[Uri], dial: &Dial) -> Result<Vec<Row>> {
    let answers = join_all(routers.iter().map(|router| list(router, dial, None))).await;
    let Some(Ok(servers)) = answers.iter().find(|answer| answer.is_ok()) else {
        let names: Vec<String> = routers.iter().map(ToString::to_string).collect();
        let mut failure = Failure::unavailable(format!(
            "no router answers at {}: `sns-server up` starts one; `sns-server status --data DIR` \
             asks without one",
            names.join(", ")
        ));
        failure.reason = None;
        return Err(failure);
    };
    let mut rows: Vec<Row> = servers.iter().cloned().map(Row::of).collect();
    for (router, answer) in routers.iter().zip(&answers) {
        rows.push(Row::router(
            router,
            &answer.as_ref().map(drop).map_err(Clone::clone),
        ));
    }
    Ok(rows)
}

async fn by_data(data: &Path) -> Result<Vec<Row>> {
    let data = DataDir::open_existing(data, true)?.path().to_owned();
    let run = RunFile::read(&data);
    let uri: Option<Uri> = run.as_ref().and_then(|run| run.router_url.parse().ok());
    // Of a directory that never ran there is none.
    let key = |purpose| InternalKey::of_data(&data, purpose).ok();
    let (announce, pair) = (key(Purpose::Announce), key(Purpose::Pair));
    let me = pair.map(|key| Asker::new("status", key));
    let listed = match &uri {
        Some(uri) => {
            let dial = as_file(run.as_ref().and_then(|run| run.tls.as_ref()));
            Some(list(uri, &dial, announce.as_ref()).await)
        }
        None => None,
    };
    let mut told: HashMap<String, Server> = HashMap::new();
    if let Some(Ok(servers)) = &listed {
        let by_name = |server: &Server| (server.name.clone(), server.clone());
        told.extend(servers.iter().map(by_name));
    }
    let nodes = run_file::nodes(&data);
    let asked = nodes
        .iter()
        .map(|node| ask(&data, node, me.as_ref(), &told));
    let mut rows: Vec<Row> = join_all(asked).await;
    for row in &mut rows {
        row.version = version_of(&data, row);
    }
    if let (Some(uri), Some(run), Some(listed)) = (uri, run, listed) {
        let mut row = Row::router(&uri, &listed.map(drop));
        let router = run.router.clone();
        row.pid = router.filter(process::ProcessId::is_alive).map(|id| id.pid);
        row.restarts = Some(run.router_restarts);
        rows.push(row);
        rows.extend(Row::course(&run));
    }
    Ok(rows)
}

/// What a living node runs, as it wrote down itself.
fn version_of(data: &Path, row: &Row) -> Option<String> {
    let file = NodeFile::read(&data.join("nodes").join(&row.name))?;
    let runs = row.pid.is_some() && file.process.map(|id| id.pid) == row.pid;
    file.program.filter(|_| runs).map(|program| program.version)
}

/// One node: its own word if it gives one, else that of its partner by way of a router, else what
/// its files and its lock say.
async fn ask(
    data: &Path,
    node: &str,
    asker: Option<&Asker>,
    told: &HashMap<String, Server>,
) -> Row {
    let dir = data.join("nodes").join(node);
    let file = NodeFile::read(&dir);
    let holder = process::lock_holder(&dir.join("lock")).ok().flatten();
    if let (Some(pid), Some(file), Some(asker)) = (holder, &file, asker)
        && let dial = as_file(file.tls.as_ref())
        && let Ok(heartbeat) = heartbeat::ask_once(asker, &file.peer_address, &dial).await
        && let Some(server) = heartbeat.server.filter(|server| server.pid == pid)
    {
        return Row::of(server);
    }
    if let Some(server) = told.get(node) {
        return Row::of(server.clone());
    }
    let (pair, role) = node.rsplit_once('-').unwrap_or((node, ""));
    let role = match role {
        "slave" => ServerRole::Slave,
        _ => ServerRole::Master,
    };
    let (state, reason) = match holder {
        Some(pid) if process::doing(pid) == "stopped" => {
            let why = format!("process {pid} is stopped and does not answer");
            (ServerState::Hung, why)
        }
        Some(_) => (ServerState::Starting, "it does not answer yet".to_owned()),
        None => without_holder(&dir, file.as_ref()),
    };
    let file = file.unwrap_or_default();
    let row = Row::of(Server {
        name: node.to_owned(),
        pair: pair.to_owned(),
        role: role.into(),
        address: file.address,
        pid: holder.unwrap_or(0),
        state: state.into(),
        restarts: file.restarts,
        reason,
        ..Server::default()
    });
    // It runs, and nobody said how far it is.
    Row {
        applied: None,
        tail: None,
        lag: None,
        streams: None,
        ..row
    }
}

/// As who wrote the file connects. Files that cannot be read are as good as none: then the others say
/// what they know.
fn as_file(files: Option<&TlsFiles>) -> Dial {
    let opened = files.map(|files| Tls::open(files.clone()));
    match opened {
        Some(Ok(tls)) => Dial::mutual(Some(&tls)),
        Some(Err(why)) => {
            tracing::warn!(%why, "cannot ask over TLS");
            Dial::Plain
        }
        None => Dial::Plain,
    }
}

/// A node whose lock nobody holds, as its files have it.
fn without_holder(dir: &Path, file: Option<&NodeFile>) -> (ServerState, String) {
    let this_boot = |file: &NodeFile| {
        let before = file.process.as_ref();
        before.is_none_or(process::ProcessId::is_of_this_boot)
    };
    // On its way to its lock, or between two tries: whoever started it tries again. The process in
    // the file is the one before, whose end was seen and dealt with.
    if file.is_some_and(|file| file.starting && this_boot(file)) {
        let why = start_failure(dir).map(|why| format!("its start failed: {why}"));
        return (ServerState::Starting, why.unwrap_or_default());
    }
    match partner::last(file) {
        Last::Died(pid) => {
            let why = format!("process {pid} died and nobody has restarted it");
            (ServerState::Failed, why)
        }
        Last::Asked(_) | Last::Nobody => (ServerState::Stopped, String::new()),
    }
}

/// Why the start that its file speaks of failed, if it could still say so: an older word is about
/// another start.
fn start_failure(dir: &Path) -> Option<String> {
    let written = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    let since = written(&process::log_path(dir)) >= written(&NodeFile::path(dir));
    since.then(|| process::last_words(dir)).flatten()
}

/// A header and a line a row, aligned; foreign text is escaped.
fn table(rows: &[Row]) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), escaped);
    let mut lines: Vec<[String; 10]> = vec![
        [
            "NAME", "STATE", "ADDRESS", "PID", "APPLIED", "LAG", "STREAMS", "RESTARTS", "DIGEST",
            "REASON",
        ]
        .map(str::to_owned),
    ];
    for row in rows {
        let digest = row
            .digest
            .as_ref()
            .map(|digest| digest.chars().take(8).collect());
        lines.push([
            escaped(&row.name),
            row.state.to_owned(),
            text(&row.address),
            number(row.pid.map(u64::from)),
            number(row.applied),
            number(row.lag),
            number(row.streams),
            number(row.restarts),
            text(&digest),
            row.reason.as_deref().map_or_else(String::new, escaped),
        ]);
    }
    let mut widths = [0; 10];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let aligned = |line: &[String; 10]| {
        let mut out = String::new();
        for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Numbers end at the same column, words begin there.
            let cell = if (3..8).contains(&index) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
            out.push_str(&cell);
            out.push_str("  ");
        }
        out.trim_end().to_owned()
    };
    lines.iter().map(aligned).collect()
}

/// Two views of one entry have one digest; what to say where they have not.
fn disagreements(rows: &[Row]) -> Vec<String> {
    let mut first: HashMap<u64, &Row> = HashMap::new();
    let mut lines = Vec::new();
    for row in rows {
        let (Some(applied), Some(_)) = (row.applied, &row.digest) else {
            continue;
        };
        let other = *first.entry(applied).or_insert(row);
        if other.digest != row.digest {
            lines.push(format!(
                "the views of {} and {} differ at entry {applied}: one of them is wrong; \
                 `sns-server log verify` checks the log, a node whose view/ is deleted rebuilds it",
                escaped(&other.name),
                escaped(&row.name)
            ));
        }
    }
    lines
}
