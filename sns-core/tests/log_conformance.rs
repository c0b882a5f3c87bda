//! Every log passes one suite.

use std::sync::Arc;

use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::log::memory::MemoryLog;
use sns_core::log::{Log, conformance};

#[test]
fn the_memory_log_keeps_the_contract() {
    conformance::run(|| {
        let log = MemoryLog::new();
        move || Arc::new(log.clone()) as Arc<dyn Log>
    });
}

/// Handles of a new directory, which lives as long as they are given out.
fn dir_log(options: DirLogOptions) -> impl Fn() -> Arc<dyn Log> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    move || {
        let log = DirLog::open(&dir.path().join("log"), options.clone()).expect("open");
        Arc::new(log) as Arc<dyn Log>
    }
}

#[test]
fn the_directory_log_keeps_the_contract() {
    conformance::run(|| dir_log(DirLogOptions::default()));
}

#[test]
fn the_directory_log_keeps_the_contract_with_small_segments_and_no_file_events() {
    let options = DirLogOptions::default()
        .segment_bytes(5000)
        .file_events(false);
    conformance::run(|| dir_log(options.clone()));
}
