//! The server of SNS.

pub mod service;
