//! The protocol of SNS: the messages of the wire and of the log, generated from `proto/`, and the table from the reason of an
//! error to its code and exit code, which server and client share.
//!
//! The gRPC stubs stand behind the features `client` and `server`; without them nothing here depends on tonic.

/// The wire: users, posts, timelines, routing (`sns.v1`).
#[allow(
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    clippy::pedantic
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sns.v1.rs"));
}

/// The log's own messages (`sns.log.v1`).
pub mod log {
    /// Version 1.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        clippy::pedantic
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sns.log.v1.rs"));
    }
}

/// Accounts (`sns.auth.v1`).
pub mod auth {
    /// Version 1.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        clippy::pedantic
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sns.auth.v1.rs"));
    }
}

/// The heartbeat of a pair (`sns.pair.v1`).
pub mod pair {
    /// Version 1.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        clippy::pedantic
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sns.pair.v1.rs"));
    }
}

/// What the client of the course speaks (`csce438`): see `docs/course.md`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    clippy::pedantic
)]
pub mod csce438 {
    include!(concat!(env!("OUT_DIR"), "/csce438.rs"));
}

pub mod escape;
pub mod reason;

/// The compiled descriptors of every file in `proto/`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sns.bin"));
