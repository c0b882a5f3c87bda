//! What a run is to do.

use std::time::Duration;

use crate::graph::Graph;
use crate::mix::Mix;
use crate::run::RunError;
use crate::schedule::requests;

/// The highest rate that a plan may ask for.
pub(crate) const RATE: f64 = 1e7;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which operations.
    pub mix: Mix,
    /// Requests a second, all connections together.
    pub rate: f64,
    /// How many connections share them.
    pub connections: usize,
    /// How long is measured.
    pub duration: Duration,
    /// How long the load runs before that; it leaves no trace in the report.
    pub warmup: Duration,
    /// Gives the operations and their times.
    pub seed: u64,
}

impl Plan {
    /// A plan with 64 connections, 30 s, a warm-up of 2 s and seed 1.
    pub fn new(mix: Mix, rate: f64) -> Self {
        Self {
            mix,
            rate,
            connections: 64,
            duration: Duration::from_secs(30),
            warmup: Duration::from_secs(2),
            seed: 1,
        }
    }
}

impl Plan {
    /// Whether it can be carried out on a graph.
    pub(crate) fn check(&self, graph: &Graph) -> Result<(), RunError> {
        let wrong = |why: &str| Err(RunError::Plan(why.to_owned()));
        if graph.users < 2 {
            return wrong("a graph needs two users at least");
        }
        if !(self.rate.is_finite() && self.rate > 0.0 && self.rate <= RATE) {
            return wrong(
                "the rate has to be more than 0 and at most 10,000,000 requests a second",
            );
        }
        if self.connections == 0 {
            return wrong("there has to be a connection at least");
        }
        if requests(self.rate, self.duration) == 0 {
            return wrong("nothing is due in so short a time: raise the rate or the duration");
        }
        Ok(())
    }
}
