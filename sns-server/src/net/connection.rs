//! [`Connection`]: which connection a call came over, for what is bound to it, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::{CancellationToken, DropGuard};

/// The connection that a request came over: in its extensions, where calls depend on it. A cheap
/// clone; no two are ever equal but its clones.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    gone: CancellationToken,
}

impl Connection {
    /// One that was just taken.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Inner {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            gone: CancellationToken::new(),
        }))
    }

    /// It lives until this is dropped.
    pub(super) fn guard(&self) -> DropGuard {
        self.0.gone.clone().drop_guard()
    }

    /// Waits for its end: said goodbye, broken, or silent for too long.
    pub async fn gone(&self) {
        self.0.gone.cancelled().await;
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        self.0.gone.is_cancelled()
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for Connection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_itself_alone_and_ends_with_its_guard() {
        let (one, other) = (Connection::new(), Connection::new());
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
        let guard = one.guard();
        assert!(!one.is_gone());
        drop(guard);
        one.gone().await;
        assert!(one.is_gone() && !other.is_gone());
    }
}
