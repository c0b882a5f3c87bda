//! What shows on a terminal while `sns bench` works; nothing where stderr is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sns_load::Progress;

use crate::output::say;

/// One line at the bottom.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// For so many steps of one thing.
    pub(super) fn of(what: &'static str, steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// For a run.
    pub(super) fn spinner() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    pub(super) fn stage(&self, what: String) {
        self.0.set_message(what);
    }

    pub(super) fn running(&self, rate: f64, at: &Progress) {
        let (elapsed, whole) = (at.elapsed.as_secs_f64(), at.whole.as_secs_f64());
        self.stage(format!(
            "{rate} requests/s: {elapsed:.1} of {whole} s, {} answers, {} errors",
            at.answered, at.errors
        ));
    }

    /// A message that stays.
    pub(super) fn say(&self, line: &str) {
        self.0.suspend(|| say(line));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
