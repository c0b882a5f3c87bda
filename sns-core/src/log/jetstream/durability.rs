//! What an acknowledgement of the servers is worth: how many copies, and whether each is synced.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::stream::Info;
use async_nats::{Client, StatusCode};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

/// Every server answers here what its JetStream is set to; the system account exports it.
const SUBJECT: &str = "$SYS.REQ.SERVER.PING.JSZ";
/// How long the answers are collected.
const LIMIT: Duration = Duration::from_millis(1_500);
/// The oldest servers that are good enough.
pub(super) const VERSION: (u64, u64, u64) = (2, 12, 3);

/// What is known of the servers of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Durability {
    /// What could be lost; `None`: an acknowledged entry survives a power cut of all servers.
    pub(super) weakness: Option<String>,
    /// Whether it must be accepted by hand. A server that does not answer while most do is down, or
    /// cut off: that passes.
    pub(super) is_refused: bool,
    /// Some servers answered, but too few.
    pub(super) is_unclear: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    server: Server,
    data: Option<Data>,
}

#[derive(Clone, Debug, Deserialize)]
struct Server {
    name: String,
    #[serde(default, rename = "ver")]
    version: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Data {
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    meta_cluster: Option<MetaCluster>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct MetaCluster {
    #[serde(default)]
    cluster_size: usize,
}

/// One server: whether it syncs each write, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    sync_always: bool,
    version: String,
}

impl Durability {
    /// Asks the servers of the stream.
    pub(super) async fn ask(client: &Client, info: &Info) -> Self {
        let found = collect(client).await;
        let mut nodes: Vec<String> = Vec::new();
        if let Some(cluster) = &info.cluster {
            nodes.extend(cluster.leader.clone());
            nodes.extend(cluster.replicas.iter().map(|peer| peer.name.clone()));
        }
        if nodes.is_empty() {
            nodes.push(client.server_info().server_name);
        }
        Self::judge(info.config.num_replicas, &nodes, &found)
    }

    fn judge(replicas: usize, nodes: &[String], found: &BTreeMap<String, Settings>) -> Self {
        let mut weak = Vec::new();
        if replicas < 2 {
            weak.push("it has one replica, so that it ends with the disk of one server".to_owned());
        }
        let list = |of: &dyn Fn(Option<&Settings>) -> bool| {
            let names = nodes.iter().filter(|name| of(found.get(*name)));
            names.cloned().collect::<Vec<_>>().join(", ")
        };
        let lazy = list(&|it| it.is_some_and(|it| !it.sync_always));
        if !lazy.is_empty() {
            weak.push(format!(
                "{lazy} run without `sync_interval: always`, so that a power cut loses what was \
                 acknowledged last (two minutes of it, unless set otherwise)"
            ));
        }
        let old = list(&|it| it.is_some_and(|it| is_too_old(&it.version)));
        if !old.is_empty() {
            weak.push(format!("{old} are older than nats-server {}", least()));
        }
        let unknown = list(&|it| it.is_none());
        let silent = nodes
            .iter()
            .filter(|name| !found.contains_key(*name))
            .count();
        let too_silent = silent * 2 >= nodes.len();
        let is_refused = !weak.is_empty() || too_silent;
        if too_silent {
            weak.push(format!(
                "it cannot be told whether {unknown} run with `sync_interval: always`: {SUBJECT} \
                 must be exported to this account, as deploy/nats/nats.conf does"
            ));
        } else if silent > 0 {
            weak.push(format!(
                "{unknown} does not answer, so that it cannot be told whether it syncs"
            ));
        }
        let weakness = (!weak.is_empty()).then(|| weak.join("; "));
        Self {
            weakness,
            is_refused,
            is_unclear: too_silent && !found.is_empty(),
        }
    }
}

/// What every server answers, by its name.
async fn collect(client: &Client) -> BTreeMap<String, Settings> {
    let deadline = Instant::now() + LIMIT;
    let mut found = BTreeMap::new();
    let inbox = client.new_inbox();
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else {
        return found;
    };
    let asked = client.publish_with_reply(SUBJECT, inbox, "".into()).await;
    if asked.is_err() {
        return found;
    }
    let mut servers = 1;
    while found.len() < servers {
        let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await else {
            break;
        };
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            break;
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(&answer.payload) else {
            continue;
        };
        let data = answer.data;
        if let Some(cluster) = data.as_ref().and_then(|it| it.meta_cluster.as_ref()) {
            servers = servers.max(cluster.cluster_size);
        }
        let config = data.and_then(|it| it.config);
        let settings = Settings {
            sync_always: config.unwrap_or_default().sync_always,
            version: answer.server.version,
        };
        found.insert(answer.server.name, settings);
    }
    found
}

/// Whether a server is too old to be trusted with a log.
pub(super) fn is_too_old(version: &str) -> bool {
    let numbers = version.split(['.', '-']).map(|part| part.parse().ok());
    let mut numbers = numbers.map(|it: Option<u64>| it.unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) < VERSION
}

/// [`VERSION`], as one writes it.
pub(super) fn least() -> String {
    format!("{}.{}.{}", VERSION.0, VERSION.1, VERSION.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sync_always: bool, version: &str) -> Settings {
        Settings {
            sync_always,
            version: version.into(),
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        for old in ["2.9.10", "2.12.2", "2.12", "1.99.99", "", "x"] {
            assert!(is_too_old(old), "{old}");
        }
        for good in ["2.12.3", "2.12.10", "2.15.1", "3.0.0", "2.14.0-RC.1"] {
            assert!(!is_too_old(good), "{good}");
        }
    }

    #[test]
    fn only_several_synced_copies_of_known_servers_are_strong() {
        let nodes: Vec<String> = ["n1", "n2", "n3"].map(str::to_owned).into();
        let good = settings(true, "2.15.1");
        let mut found: BTreeMap<_, _> = nodes
            .iter()
            .map(|name| (name.clone(), good.clone()))
            .collect();
        assert_eq!(Durability::judge(3, &nodes, &found), Durability::default());
        let weak = |replicas, nodes: &[String], found: &BTreeMap<_, _>| {
            let judged = Durability::judge(replicas, nodes, found);
            assert!(judged.is_refused);
            judged.weakness.expect("weak")
        };
        assert!(weak(1, &nodes[..1], &found).contains("one replica"));
        found.insert("n2".into(), settings(false, "2.15.1"));
        assert!(weak(3, &nodes, &found).contains("n2 run without"));
        found.insert("n2".into(), settings(true, "2.12.1"));
        assert!(weak(3, &nodes, &found).contains("n2 are older"));
        found.remove("n2");
        let judged = Durability::judge(3, &nodes, &found);
        assert!(!judged.is_refused, "one of three may be down");
        assert!(
            judged
                .weakness
                .expect("said")
                .contains("n2 does not answer")
        );
        found.remove("n1");
        let judged = Durability::judge(3, &nodes, &found);
        assert!(judged.is_refused);
        assert!(
            judged
                .weakness
                .expect("said")
                .contains("told whether n1, n2")
        );
    }
}
