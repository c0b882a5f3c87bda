//! Sudden death.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::{BACK, Failure, Result, Stage, complain, micros, ms, signal};
use crate::cluster::LOOK;
use crate::failure::Doing as _;
use crate::history::{Excuse, Fault};

/// A start is over after this, on a small data set.
const START: Duration = Duration::from_millis(200);

impl Stage {
    pub(super) async fn kill_one(&mut self, fault: &mut Fault) -> Result<()> {
        let name = self.any_process()?;
        let old = self.hit(&name, Signal::KILL, fault).await?;
        let begun = Instant::now();
        self.all_serve(&[old]).await?;
        fault.back = micros(begun.elapsed());
        fault.detail = format!("serves again after {}", ms(begun.elapsed()));
        Ok(())
    }

    pub(super) async fn kill_pair(&mut self, fault: &mut Fault) -> Result<()> {
        let nodes = self.cluster.nodes();
        let pairs: Vec<&str> = nodes
            .iter()
            .filter_map(|node| node.strip_suffix("-master"))
            .collect();
        let pair = pairs.choose(&mut self.rng);
        let pair = (*pair.ok_or_else(|| Failure("there is no pair".to_owned()))?).to_owned();
        let mut old = Vec::new();
        for role in ["slave", "master"] {
            let name = format!("{pair}-{role}");
            old.push(self.hit(&name, Signal::KILL, fault).await?);
        }
        fault.target.clone_from(&pair);
        if nodes.len() == 2 {
            fault.excuses = Excuse::Everything;
        }
        let begun = Instant::now();
        self.all_serve(&old).await?;
        fault.back = micros(begun.elapsed());
        fault.detail = format!("both serve again after {}", ms(begun.elapsed()));
        Ok(())
    }

    pub(super) async fn kill_all(&mut self, fault: &mut Fault) -> Result<()> {
        "everything".clone_into(&mut fault.target);
        let nodes = self.cluster.nodes();
        fault.servers = nodes
            .iter()
            .filter_map(|it| self.cluster.address(it))
            .collect();
        fault.excuses = Excuse::Everything;
        self.hit.extend(nodes);
        self.hit.extend(["up", "router"].map(str::to_owned));
        fault.at = self.clock.now();
        self.cluster.kill_everything().await?;
        let time = self.cluster.start_again().await?;
        fault.back = micros(time);
        self.all_serve(&[]).await?;
        fault.detail = format!("all serve {} after `up`", ms(time));
        Ok(())
    }

    pub(super) async fn kill_starting(&mut self, fault: &mut Fault) -> Result<()> {
        let name = self.any_node()?;
        let mut old = vec![self.hit(&name, Signal::KILL, fault).await?];
        let times = self.rng.random_range(1..=3);
        let deadline = Instant::now() + BACK;
        while old.len() <= times && Instant::now() < deadline {
            let next = self.cluster.starting(&name);
            let Some(id) = next.into_iter().find(|id| !old.contains(id)) else {
                tokio::task::yield_now().await;
                continue;
            };
            sleep(START.mul_f64(self.rng.random())).await;
            if id.is_alive() {
                signal(&id, Signal::KILL)?;
                old.push(id);
            }
        }
        let begun = Instant::now();
        self.all_serve(&old).await?;
        fault.detail = format!(
            "killed {} times, the last time while it started; serves {} later",
            old.len(),
            ms(begun.elapsed())
        );
        Ok(())
    }

    pub(super) async fn kill_in_snapshot(&mut self, fault: &mut Fault) -> Result<()> {
        // First one that is let be, for the time it takes.
        let begun = Instant::now();
        self.snapshot(None).await?;
        // Whoever waits for another maker in vain has measured nothing; then this is too long, and
        // the kills below come late.
        let whole = begun.elapsed();
        // Two good ones allow a trim; the next one is killed on its way.
        let cut = whole.mul_f64(self.rng.random());
        self.snapshot(Some(cut)).await?;
        let name = self.any_node()?;
        let (wait, limit) = (whole.mul_f64(self.rng.random()), whole * 4 + BACK / 4);
        let mut command = self.snapshot_command();
        let mut maker = command.spawn().doing("run `sns-server snapshot create`")?;
        sleep(wait).await;
        let old = self.hit(&name, Signal::KILL, fault).await?;
        let made = timeout(limit, maker.wait()).await;
        let made = made.doing("wait for a snapshot")?;
        let made = made.doing("wait for a snapshot")?;
        if !matches!(made.code(), Some(0 | 6)) {
            complain(fault, &format!("`snapshot create` ended with {made}"));
        }
        self.all_serve(&[old]).await?;
        fault.detail = format!("a snapshot takes {}; it ended with {made}", ms(whole));
        Ok(())
    }

    /// Makes a snapshot; kills who makes it after this time.
    async fn snapshot(&self, kill_after: Option<Duration>) -> Result<()> {
        let limit = kill_after.unwrap_or(BACK);
        let deadline = Instant::now() + limit;
        let mut maker = self.snapshot_command().spawn();
        let maker = maker.as_mut();
        let maker = maker.map_err(|e| Failure(format!("cannot make a snapshot: {e}")))?;
        match timeout(limit, maker.wait()).await {
            Ok(ended) => {
                let ended = ended.doing("wait for a snapshot")?;
                match ended.code() {
                    Some(0) => Ok(()),
                    // Another one is under way: the servers make them too.
                    Some(6) if kill_after.is_some() => Ok(()),
                    Some(6) if Instant::now() < deadline => {
                        sleep(LOOK * 20).await;
                        Box::pin(self.snapshot(None)).await
                    }
                    _ => Err(Failure(format!("`snapshot create` ended with {ended}"))),
                }
            }
            Err(_) if kill_after.is_some() => {
                maker.kill().await.doing("kill who makes a snapshot")?;
                Ok(())
            }
            Err(_) => Err(Failure(format!("no snapshot after {limit:?}"))),
        }
    }

    fn snapshot_command(&self) -> tokio::process::Command {
        let mut command = self.cluster.program();
        command.args(["snapshot", "create", "--data"]);
        command.arg(self.cluster.data());
        command.stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        command
    }
}
