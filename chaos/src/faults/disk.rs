//! No room left.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::{BACK, Failure, Result, Stage, complain, micros, ms};
use crate::failure::Doing as _;
use crate::history::{Excuse, Fault, Outcome};

/// What is taken at a time: first much, then the rest.
const BLOCK: usize = 1 << 20;
const PAGE: usize = 4_096;

/// Writes until there is no room.
fn fill(ballast: &mut File, bytes: usize) -> Result<()> {
    let zeros = vec![0; bytes];
    loop {
        match ballast.write(&zeros) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(e) => return Err(Failure(format!("cannot fill the disk: {e}"))),
        }
    }
}

impl Stage {
    pub(super) async fn disk_full(&mut self, fault: &mut Fault) -> Result<()> {
        "disk".clone_into(&mut fault.target);
        fault.excuses = Excuse::Full;
        let before = self.restarts().await?;
        let time = Duration::from_millis(self.rng.random_range(1_000..4_000));
        fault.at = self.clock.now();
        let mut ballast = File::create(&self.ballast).doing("make the ballast")?;
        fill(&mut ballast, BLOCK)?;
        let (mut refused, mut reads, mut others) = (0, 0, Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < time {
            // What the service frees meanwhile is taken too.
            fill(&mut ballast, PAGE)?;
            match self.prober.post().await {
                Outcome::Refused { reason } if reason == "DISK_FULL" => refused += 1,
                // Where the last block of a file is not full, a little still fits.
                Outcome::Ok { .. } => {}
                other => others.push(format!("a write: {other:?}")),
            }
            match self.prober.read().await {
                Outcome::Ok { .. } => reads += 1,
                other => others.push(format!("a read: {other:?}")),
            }
        }
        drop(ballast);
        fs::remove_file(&self.ballast).doing("give the room back")?;
        let begun = Instant::now();
        // The first write that is called now.
        while !matches!(self.prober.post().await, Outcome::Ok { .. }) {
            if begun.elapsed() > BACK {
                return Err(Failure(format!(
                    "no write {BACK:?} after there was room again"
                )));
            }
        }
        let resumed = begun.elapsed();
        fault.back = micros(resumed);
        self.all_serve(&[]).await?;
        let restarts = self.restarts().await? - before;
        fault.detail = format!(
            "full for {}: {refused} probing writes refused as DISK_FULL, {reads} reads answered; \
             the first write {} after there was room again; {restarts} restarts",
            ms(time),
            ms(resumed)
        );
        if refused == 0 {
            others.push("no write was refused".to_owned());
        }
        if restarts > 0 {
            others.push(format!("{restarts} restarts"));
        }
        if !others.is_empty() {
            complain(fault, &others.join("; "));
        }
        Ok(())
    }

    /// How often nodes were started again.
    async fn restarts(&self) -> Result<u64> {
        let servers = self.control.servers().await.doing("ask the router")?;
        Ok(servers.iter().map(|server| server.restarts).sum())
    }
}
