//! The tonic services, one a file: decode, call the core, encode. No rules live here.

pub mod accounts;
pub mod auth;
pub mod call;
mod certified;
pub(crate) mod encode;
pub mod pair;
pub(crate) mod passwords;
pub(crate) mod read;
pub mod router;
pub mod sns;
pub mod status;
pub mod timeline;
pub(crate) mod write;
