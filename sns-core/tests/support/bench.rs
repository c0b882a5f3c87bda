//! A feed that a test can restart, and whose view it can lose.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use sns_core::Sns;

/// A feed in a temporary directory.
#[derive(Debug)]
pub(crate) struct Bench {
    sns: Option<Sns>,
    dir: tempfile::TempDir,
    cache: usize,
}

impl Bench {
    pub(crate) fn new(cache: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Self {
            sns: None,
            dir,
            cache,
        };
        bench.open();
        bench
    }

    pub(crate) fn sns(&self) -> &Sns {
        self.sns.as_ref().unwrap()
    }

    fn open(&mut self) {
        let builder = Sns::builder(self.dir.path())
            .node("test")
            .tiny_cache(self.cache);
        self.sns = Some(builder.open().unwrap());
    }

    fn close(&mut self) {
        self.sns.take().unwrap().close();
    }

    /// Closes it and opens it again.
    pub(crate) fn restart(&mut self) {
        self.close();
        self.open();
    }

    /// Deletes the view while nobody runs: it comes back from the log.
    pub(crate) fn lose_view(&mut self) {
        self.close();
        std::fs::remove_dir_all(self.dir.path().join("nodes/test/view")).unwrap();
        self.open();
    }
}
