//! Passwords: argon2id, a few at a time.
//!
//! One check takes 19 MiB and tens of milliseconds of a core on purpose, so that stolen hashes are
//! dear to guess. That makes it a lever for whoever floods logins: few run at once, few wait, the
//! rest is refused.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use sns_core::PasswordHash;
use sns_proto::v1::ErrorReason;
use tokio::sync::Semaphore;
use tonic::Status;

use super::status;

/// What OWASP's password storage cheat sheet asks for at least: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Of a hash that others wrote: more would let one entry of the log eat the memory of every server.
const MEMORY_KIB_MOST: u32 = 4 * MEMORY_KIB;
const PASSES_MOST: u32 = 16;

/// That run at once, beside the work of the service.
const TURNS: usize = 2;
/// That wait for their turn; further ones are refused. At 30 ms each, the last waits for a second.
const WAITING: usize = 64;

/// Bytes of a password.
pub(crate) const BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// Makes and checks hashes.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(TURNS)),
            waiting: Arc::new(Semaphore::new(TURNS + WAITING)),
        }
    }

    /// The hash of a new password, with a salt of its own.
    pub(crate) async fn hash(&self, password: String) -> Result<PasswordHash, Status> {
        let made = self.turn(move || {
            let made = hasher().hash_password(password.as_bytes());
            made.map(|phc| PasswordHash::new(&phc.to_string()))
        });
        match made.await? {
            Ok(Ok(hash)) => Ok(hash),
            Ok(Err(error)) => Err(status::of(error)),
            Err(error) => {
                tracing::error!(%error, "a password cannot be hashed: report this");
                Err(status::status(
                    ErrorReason::Internal,
                    "this password cannot be hashed",
                ))
            }
        }
    }

    /// Whether `password` is the one of `known`. Takes as long when there is none: who asks learns
    /// nothing about the name.
    pub(crate) async fn verify(
        &self,
        password: String,
        known: Option<PasswordHash>,
    ) -> Result<bool, Status> {
        self.turn(move || {
            if let Some(known) = known {
                return fits(&password, &known);
            }
            // Of no use but its time.
            let _ = hasher().hash_password(password.as_bytes());
            false
        })
        .await
    }

    /// Runs it when its turn has come, away from the threads that serve connections.
    async fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let overloaded = || {
            let why = "too many passwords wait to be checked";
            status::status(ErrorReason::Overloaded, why)
        };
        let place = self.waiting.clone().try_acquire_owned();
        let place = place.map_err(|_| overloaded())?;
        // Never closed, so this waits for its turn and does not fail.
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| overloaded())?;
        let work = move || {
            // The work goes on when the call is given up, and so it keeps its turn.
            let _held = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "the check of a password panicked: report this");
            status::status(ErrorReason::Internal, "this password cannot be checked")
        })
    }
}

fn hasher() -> Argon2<'static> {
    // These are within the bounds of the algorithm.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn fits(password: &str, known: &PasswordHash) -> bool {
    let Ok(phc) = Phc::new(known.as_str()) else {
        tracing::error!("a password hash in the log is none");
        return false;
    };
    let modest = Params::try_from(&phc)
        .is_ok_and(|params| params.m_cost() <= MEMORY_KIB_MOST && params.t_cost() <= PASSES_MOST);
    if !modest {
        tracing::error!("a password hash in the log asks for too much: refused");
        return false;
    }
    hasher().verify_password(password.as_bytes(), &phc).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let again = passwords.hash("correct horse".into()).await.unwrap();
        assert_ne!(hash, again, "each has its own salt");
        let fits = |word: &str, hash| passwords.verify(word.into(), hash);
        assert!(fits("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!fits("correct horsf", Some(hash)).await.unwrap());
        assert!(!fits("correct horse", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_that_asks_for_too_much_or_is_none_fits_nothing() {
        let passwords = Passwords::new();
        for hostile in [
            "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
            "$argon2id$v=19$m=19456,t=4000000,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
            "$1$abc$def",
            "nothing",
        ] {
            let hash = PasswordHash::new(hostile).unwrap();
            assert!(!passwords.verify("x".into(), Some(hash)).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_keeps_its_turn_until_the_work_is_done() {
        let passwords = Passwords::new();
        for _ in 0..TURNS {
            let given_up = passwords.verify("x".into(), None);
            // Long enough to begin, too short to end.
            let nap = std::time::Duration::from_millis(1);
            assert!(tokio::time::timeout(nap, given_up).await.is_err());
        }
        assert_eq!(passwords.turns.available_permits(), 0);
        assert!(!passwords.verify("x".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_not_queued() {
        let passwords = Passwords::new();
        let flood = (0..TURNS + WAITING + 10).map(|_| passwords.verify("x".into(), None));
        let ends = futures_util::future::join_all(flood).await;
        let refused = ends.iter().filter_map(|end| end.as_ref().err());
        let refused: Vec<_> = refused.map(status::reason_of).collect();
        assert_eq!(refused, [Some(ErrorReason::Overloaded); 10]);
    }
}
