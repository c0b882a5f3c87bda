//! What a history must show.
use crate::history::History;
/// Report.
#[derive(Clone, Debug)]
pub struct Report {}
impl Report {
    /// Good.
    pub fn is_good(&self) -> bool {
        true
    }
}
/// Checks.
pub fn check(_: &History) -> Report {
    Report {}
}
