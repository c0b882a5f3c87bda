//! Progress of long work: a bar on a terminal, else nothing.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// One that counts bytes.
    pub(crate) fn bytes(what: &'static str, total: u64) -> Self {
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Self::new(what, total, style)
    }

    /// One that counts entries.
    pub(crate) fn entries(what: &'static str, total: u64) -> Self {
        let style = "{msg} {wide_bar} {human_pos}/{human_len} entries {per_sec} {eta}";
        Self::new(what, total, style)
    }

    /// One that counts lines.
    pub(crate) fn lines(what: &'static str, total: u64) -> Self {
        let style = "{msg} {wide_bar} {human_pos}/{human_len} lines {per_sec} {eta}";
        Self::new(what, total, style)
    }

    fn new(what: &'static str, total: u64, style: &str) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn at(&self, position: u64) {
        if position != self.0.position() {
            self.0.set_position(position);
        }
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
