//! What a run shows of itself on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One line that says where the run is; nothing where stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    duration: Duration,
}

impl Progress {
    pub(crate) fn new(duration: Duration) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, duration }
    }

    /// Something to be kept: it is printed where stderr is no terminal, too.
    #[allow(clippy::print_stderr, reason = "a message for the one who runs it")]
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    pub(crate) fn stage(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    pub(crate) fn part(&self, done: usize, of: usize) {
        self.bar
            .set_message(format!("asking every replica: {done} of {of}"));
    }

    pub(crate) fn hurting(&self, time: Duration, faults: u64, acknowledged: u64, failed: u64) {
        self.bar.set_message(format!(
            "{} of {} s, {faults} faults, {acknowledged} writes acknowledged, {failed} calls \
             failed",
            time.as_secs(),
            self.duration.as_secs()
        ));
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
