//! Processes that stand still.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use sns_server::pair::process::{ProcessId, doing, lock_holder};
use tokio::time::sleep;

use super::{Failure, Result, Stage, micros, ms, signal};
use crate::cluster::LOOK;
use crate::failure::Doing as _;
use crate::history::Fault;

/// The shortest and the longest stop.
const STOP: (f64, f64) = (0.1, 10.0);
/// Connections that somebody opens while no descriptor is left.
const STRANGERS: u32 = 64;
/// A partner that stands still as long may be killed.
const NOTICED: Duration = Duration::from_millis(800);
/// Tries to stop a process while it holds the lock of the log.
const TRIES: u32 = 20_000;

/// How long a stop lasts: short ones are as frequent as long ones.
pub(super) fn time(rng: &mut StdRng) -> Duration {
    Duration::from_secs_f64(STOP.0 * (STOP.1 / STOP.0).powf(rng.random()))
}

impl Stage {
    pub(super) async fn stop(&mut self, fault: &mut Fault) -> Result<()> {
        let name = self.any_process()?;
        let time = time(&mut self.rng);
        let id = self.hit(&name, Signal::STOP, fault).await?;
        let begun = Instant::now();
        while begun.elapsed() < time && id.is_alive() {
            sleep(LOOK).await;
        }
        let killed = !id.is_alive();
        signal(&id, Signal::CONT)?;
        fault.detail = if killed {
            format!("killed and started again after {}", ms(begun.elapsed()))
        } else {
            format!("went on after {}", ms(begun.elapsed()))
        };
        if !killed && time > NOTICED {
            // Its partner may have decided to kill it in the moment in which it went on.
            sleep(NOTICED).await;
        }
        let old: &[ProcessId] = if id.is_alive() { &[] } else { &[id] };
        self.all_serve(old).await
    }

    pub(super) async fn hang(&mut self, fault: &mut Fault) -> Result<()> {
        // A log on NATS has no lock.
        let holding = self.rng.random() && self.nats.is_none();
        let id = if holding {
            self.stop_in_lock(fault).await?
        } else {
            let name = self.any_node()?;
            self.hit(&name, Signal::STOP, fault).await?
        };
        let begun = Instant::now();
        while id.is_alive() {
            if begun.elapsed() > Duration::from_secs_f64(STOP.1) {
                signal(&id, Signal::CONT)?;
                return Err(Failure("it was stopped and nobody killed it".to_owned()));
            }
            sleep(LOOK).await;
        }
        let killed = begun.elapsed();
        self.all_serve(&[id]).await?;
        fault.back = micros(begun.elapsed());
        fault.everybody = holding;
        fault.detail = format!(
            "{}; killed after {}, serves again after {}",
            if holding {
                "held the lock of the log"
            } else {
                "any moment"
            },
            ms(killed),
            ms(begun.elapsed())
        );
        Ok(())
    }

    /// Stops one node after the other, each for a moment, until one is found holding the lock of
    /// the log.
    async fn stop_in_lock(&mut self, fault: &mut Fault) -> Result<ProcessId> {
        let lock = self.cluster.data().join("log").join("lock");
        for _ in 0..TRIES {
            fault.servers.clear();
            self.hit.clear();
            let name = self.any_node()?;
            let id = self.hit(&name, Signal::STOP, fault).await?;
            // A signal takes effect a moment later.
            while doing(id.pid) == "running" {
                tokio::task::yield_now().await;
            }
            let holder = lock_holder(&lock).doing("read /proc/locks")?;
            if holder == Some(id.pid) {
                return Ok(id);
            }
            signal(&id, Signal::CONT)?;
            sleep(Duration::from_micros(self.rng.random_range(100..2_000))).await;
        }
        Err(Failure(
            "no node was ever found holding the lock".to_owned(),
        ))
    }

    pub(super) async fn descriptors(&mut self, fault: &mut Fault) -> Result<()> {
        let name = self.any_node()?;
        let id = self.living(&name).await?;
        let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure(format!("{} is no pid", id.pid)))?;
        let open = std::fs::read_dir(format!("/proc/{}/fd", id.pid));
        let open = open.doing("count its descriptors")?.count() as u64;
        let address = self.cluster.address(&name);
        let address = address.ok_or_else(|| Failure(format!("{name} has no address")))?;
        name.clone_into(&mut fault.target);
        fault.servers.extend(self.cluster.address(&name));
        fault.at = self.clock.now();
        // Its hard limit is ours, and nobody may raise it.
        let limit = Rlimit {
            current: Some(open),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        let before = prlimit(Some(pid), Resource::Nofile, limit);
        let before = before.doing("limit its descriptors")?;
        // They take the numbers that were free below the limit; the rest waits to be accepted.
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS {
            let stranger = tokio::net::TcpStream::connect(&address);
            if let Ok(Ok(stranger)) = tokio::time::timeout(NOTICED, stranger).await {
                strangers.push(stranger);
            }
        }
        sleep(Duration::from_millis(self.rng.random_range(500..3_000))).await;
        if id.is_alive() {
            prlimit(Some(pid), Resource::Nofile, before).doing("give it descriptors again")?;
        }
        fault.detail = format!(
            "{open} descriptors and no more; {} strangers at its door",
            strangers.len()
        );
        drop(strangers);
        self.all_serve(&[]).await
    }
}
