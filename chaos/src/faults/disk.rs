//! No room left.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::time::sleep;

use super::{BACK, Failure, Result, Stage, ms};
use crate::cluster::LOOK;
use crate::failure::Doing as _;
use crate::history::Fault;
use crate::load::Counters;

impl Stage {
    pub(super) async fn disk_full(&mut self, fault: &mut Fault) -> Result<()> {
        "disk".clone_into(&mut fault.target);
        fault.excuses = true;
        let before = self.restarts().await?;
        let (full, reads) = (
            Counters::get(&self.counters.full),
            Counters::get(&self.counters.reads),
        );
        let time = Duration::from_millis(self.rng.random_range(1_000..4_000));
        fault.at = self.clock.now();
        let mut ballast = File::create(&self.ballast).doing("make the ballast")?;
        let begun = Instant::now();
        while begun.elapsed() < time {
            // What the service frees is taken too.
            match ballast.write(&[0; 4_096]) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => sleep(LOOK).await,
                Err(e) => return Err(Failure(format!("cannot fill the disk: {e}"))),
            }
        }
        let full = Counters::get(&self.counters.full) - full;
        let reads = Counters::get(&self.counters.reads) - reads;
        drop(ballast);
        let acknowledged = Counters::get(&self.counters.acknowledged);
        fs::remove_file(&self.ballast).doing("give the room back")?;
        let begun = Instant::now();
        while Counters::get(&self.counters.acknowledged) == acknowledged {
            if begun.elapsed() > BACK {
                return Err(Failure(format!(
                    "no write {BACK:?} after there was room again"
                )));
            }
            sleep(LOOK).await;
        }
        let resumed = begun.elapsed();
        self.all_serve(&[]).await?;
        let restarts = self.restarts().await? - before;
        fault.detail = format!(
            "{full} writes refused as DISK_FULL and {reads} reads answered in {}; writes {} after \
             there was room again; {restarts} restarts",
            ms(time),
            ms(resumed)
        );
        if reads == 0 || full == 0 {
            return Err(Failure(format!("the disk was full: {}", fault.detail)));
        }
        Ok(())
    }

    /// How often nodes were started again.
    async fn restarts(&self) -> Result<u64> {
        let servers = self.control.servers().await.doing("ask the router")?;
        Ok(servers.iter().map(|server| server.restarts).sum())
    }
}
