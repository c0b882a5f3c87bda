//! What a run has shown, for people and for programs.

use std::path::PathBuf;

use crate::check::Report;
use crate::history::{Fault, Run};

/// A run and what came out of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it was set up.
    pub run: Run,
    /// What was done.
    pub faults: Vec<Fault>,
    /// What the checker says.
    pub report: Report,
    /// Where the history was saved.
    pub history: Option<PathBuf>,
}
