//! Bad weather on the wires between clients and servers.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use tokio::time::sleep;

use super::{Result, Stage, complain};
use crate::history::Fault;
use crate::wire::Weather;

impl Stage {
    pub(super) async fn net(&mut self, fault: &mut Fault) -> Result<()> {
        let slow = Duration::from_millis(self.rng.random_range(1..300));
        let all = [
            Weather::Cut,
            Weather::HalfClosed,
            Weather::Silent,
            Weather::Slow(slow),
        ];
        let weather = *all.choose(&mut self.rng).unwrap_or(&Weather::Cut);
        let share: f64 = self.rng.random_range(0.2..1.0);
        "wires".clone_into(&mut fault.target);
        fault.at = self.clock.now();
        let rng = &mut self.rng;
        // One at least.
        let hit = self
            .wires
            .set(weather, |number| number == 0 || rng.random_bool(share));
        if hit == 0 {
            complain(fault, "no connection was open");
        }
        // What is cut stays cut; the rest clears up.
        sleep(Duration::from_millis(rng.random_range(100..3_000))).await;
        if !matches!(weather, Weather::Cut | Weather::HalfClosed) {
            self.wires.set(Weather::Clear, |_| true);
        }
        fault.detail = format!("{weather:?} on {hit} of {} connections", self.wires.open());
        Ok(())
    }
}
