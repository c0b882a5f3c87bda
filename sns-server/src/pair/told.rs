//! What the driver tells besides the routers: the operations page and the metrics read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Uri;
use sns_proto::v1::AnnounceRequest;
use tokio::sync::watch;

use super::deaths::Death;

/// The readers' side of what a driver tells. A cheap clone; never waits.
#[derive(Clone, Debug)]
pub struct Told {
    word: watch::Receiver<AnnounceRequest>,
    deaths: watch::Receiver<Vec<Death>>,
    routers: Arc<[Router]>,
}

/// The driver's side.
#[derive(Debug)]
pub struct Telling {
    pub(super) word: watch::Sender<AnnounceRequest>,
    pub(super) deaths: watch::Sender<Vec<Death>>,
    pub(super) routers: Arc<[Router]>,
}

/// A router that is announced to.
#[derive(Debug)]
pub struct Router {
    /// Where it is.
    pub uri: Uri,
    answers: AtomicBool,
}

impl Router {
    /// One that nothing is known of yet.
    pub fn new(uri: Uri) -> Self {
        Self {
            uri,
            answers: AtomicBool::new(false),
        }
    }

    /// Whether it answered the last announcement.
    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Its URL, and whether it answers.
    pub fn said(&self) -> (String, bool) {
        let url = self.uri.to_string().trim_end_matches('/').to_owned();
        (url, self.answers())
    }

    pub(crate) fn set(&self, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
    }
}

/// Both sides; `routers` are those that are announced to.
pub fn channel(routers: &[Uri]) -> (Telling, Told) {
    let (word, heard) = watch::channel(AnnounceRequest::default());
    let (deaths, known) = watch::channel(Vec::new());
    let routers: Arc<[Router]> = routers.iter().cloned().map(Router::new).collect();
    let telling = Telling {
        word,
        deaths,
        routers: routers.clone(),
    };
    let told = Told {
        word: heard,
        deaths: known,
        routers,
    };
    (telling, told)
}

impl Told {
    /// The last word to the routers: about this node, as it says itself, and about its partner.
    pub fn word(&self) -> AnnounceRequest {
        self.word.borrow().clone()
    }

    /// Deaths of the partner, the oldest first.
    pub fn deaths(&self) -> Vec<Death> {
        self.deaths.borrow().clone()
    }

    /// The routers that are announced to.
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }
}
