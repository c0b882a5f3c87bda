//! Open-loop load on anything that serves timelines.
//!
//! A [`Plan`] says which [`Mix`] of operations to send at which rate; the [`Graph`] gives the users; a
//! [`Target`] is the service. [`run`] sends each request when it is due, whatever came of the others,
//! and gives a [`Report`]; [`find_max`] looks for the highest rate that a service bears.
//!
//! It knows nothing of any protocol, so that different services meet the very same load: the same
//! seed gives the same operations at the same times.
//!
//! What the engine itself adds to every latency is what waking up costs: against a target that answers
//! at once the median is about 50 microseconds on a busy machine with two cores (the test
//! `against_a_service_that_answers_at_once_all_requests_are_sent` prints it), and
//! [`Report::wait`] tells it for every run.

mod find_max;
mod graph;
mod mix;
mod op;
mod pace;
mod plan;
mod report;
mod run;
mod schedule;
mod tally;

pub use find_max::{Bound, Found, Searching, Tried, find_max};
pub use graph::Graph;
pub use mix::{Mix, text};
pub use op::{CallError, Connection, Kind, Op, Reply, Target};
pub use plan::Plan;
pub use report::{Latency, Report, Summary};
pub use run::{Progress, RunError, run};
pub use sns_graph::Unreadable;

/// Bytes of a post's text, as `DeathStarBench` has them.
pub const TEXT_BYTES: usize = 256;

/// Posts of a page.
pub const PAGE: usize = 20;
