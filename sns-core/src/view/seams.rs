//! Where tests reach into a view: `Check`, what they leave out; and a look at its files between
//! any two steps of a write, which is what a kill would leave.

use std::path::Path;
#[cfg(any(test, feature = "test-util"))]
use std::sync::Arc;

/// What a view must do, or a write takes effect twice, or not at all, or nobody notices.
#[cfg(any(test, feature = "test-util"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A request that is remembered takes effect no second time.
    RequestId,
    /// A request that may have been forgotten is refused by what its client had seen.
    Seen,
    /// A batch carries the seq up to which the database is complete with it.
    SeqOfBatch,
    /// A batch that a kill has cut in two is carried out from the redo file.
    Redo,
    /// What is remembered of requests counts in the digest.
    RequestsInDigest,
}

#[cfg(any(test, feature = "test-util"))]
impl Check {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RequestId,
        Self::Seen,
        Self::SeqOfBatch,
        Self::Redo,
        Self::RequestsInDigest,
    ];
}

/// Whether a test left a `Check` out of a store; never outside of tests.
macro_rules! lacks {
    ($store:expr, $check:ident) => {{
        #[cfg(any(test, feature = "test-util"))]
        let lacks = $store.lacks($crate::view::seams::Check::$check);
        #[cfg(not(any(test, feature = "test-util")))]
        let lacks = false;
        lacks
    }};
}
pub(super) use lacks;

/// Called with the directory of the view.
#[cfg(any(test, feature = "test-util"))]
type Look = Arc<dyn Fn(&Path) + Send + Sync>;

/// What a test changes in a view; nothing outside of tests.
#[derive(Clone, Default)]
pub(crate) struct Seams {
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) without: Option<Check>,
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) between: Option<Look>,
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seams").finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Seams {
    /// Whether a test left `check` out.
    pub(super) fn lacks(&self, check: Check) -> bool {
        self.without == Some(check)
    }

    /// Between two steps of a write.
    pub(super) fn look(&self, dir: &Path) -> bool {
        self.between.as_ref().is_some_and(|look| {
            look(dir);
            true
        })
    }
}

#[cfg(not(any(test, feature = "test-util")))]
#[allow(clippy::unused_self, reason = "the switches exist in tests only")]
impl Seams {
    /// Nobody looks outside of tests.
    pub(super) fn look(&self, _: &Path) -> bool {
        false
    }
}
