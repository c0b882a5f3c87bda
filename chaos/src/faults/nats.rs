//! Harm to the NATS servers that hold the log; the service itself is let be, and has to live on.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use tokio::time::sleep;

use super::{BACK, Failure, Result, Stage, micros, ms, stop};
use crate::history::{Excuse, Fault};
use crate::nats::{Harm, SERVERS};
use crate::wire::Weather;

/// The longest time that a killed server stays away.
const AWAY: Duration = Duration::from_secs(3);
/// The shortest and the longest cut.
const CUT_MS: (u64, u64) = (100, 5_000);

impl Stage {
    /// kill -9 of so many servers; they are started again a moment later.
    pub(super) async fn kill_nats(&mut self, servers: usize, fault: &mut Fault) -> Result<()> {
        let time = AWAY.mul_f64(self.rng.random());
        self.harm_nats(servers, Harm::Kill, time, fault).await
    }

    /// SIGSTOP of so many servers, for a while.
    pub(super) async fn stop_nats(&mut self, servers: usize, fault: &mut Fault) -> Result<()> {
        let time = stop::time(&mut self.rng);
        self.harm_nats(servers, Harm::Stop, time, fault).await
    }

    /// The service does not reach one server, for a while.
    pub(super) async fn cut_nats(&mut self, fault: &mut Fault) -> Result<()> {
        let told: bool = self.rng.random();
        let weather = if told { Weather::Cut } else { Weather::Silent };
        let time = Duration::from_millis(self.rng.random_range(CUT_MS.0..CUT_MS.1));
        self.harm_nats(1, Harm::Cut(weather), time, fault).await
    }

    async fn harm_nats(
        &mut self,
        servers: usize,
        harm: Harm,
        time: Duration,
        fault: &mut Fault,
    ) -> Result<()> {
        let mut numbers: Vec<usize> = (0..SERVERS).collect();
        numbers.shuffle(&mut self.rng);
        numbers.truncate(servers);
        let nats = self.nats.as_ref();
        let nats = nats.ok_or_else(|| Failure("there are no NATS servers".to_owned()))?;
        let leader = nats.leader().await?;
        let names = numbers.iter().map(|number| {
            let leads = if Some(*number) == leader {
                " (leader)"
            } else {
                ""
            };
            format!("{}{leads}", nats.name(*number))
        });
        fault.target = names.collect::<Vec<_>>().join(", ");
        // One that leads has to be replaced, which takes seconds; without two nobody can lead. A
        // leader that only the service does not reach goes on leading.
        let leaderless = leader.is_none_or(|leader| numbers.contains(&leader));
        let cut = matches!(harm, Harm::Cut(_));
        if !cut && (leaderless || 2 * servers > SERVERS) {
            fault.excuses = Excuse::Writes;
            fault.everybody = true;
        }
        fault.at = self.clock.now();
        for number in &numbers {
            nats.harm(*number, harm).await?;
        }
        let begun = Instant::now();
        let mend = async {
            sleep(time).await;
            for number in &numbers {
                nats.mend(*number, harm).await?;
            }
            nats.until_whole(BACK).await
        };
        // Writes may go on long before the servers are whole, or only then.
        let (mended, written) = tokio::join!(mend, self.prober.until_written(BACK));
        let whole = begun.elapsed();
        fault.back = written.as_ref().ok().copied().and_then(micros);
        mended?;
        let written = written?;
        self.all_serve(&[]).await?;
        // Also now, by the copies that are there now.
        let again = self.prober.until_written(BACK).await?;
        fault.detail = format!(
            "{harm:?} for {}; the first write after {}, whole again after {}, then a write in {}",
            ms(time),
            ms(written),
            ms(whole),
            ms(again)
        );
        Ok(())
    }
}
