//! The server of SNS: everything that the `sns-server` binary does, callable from a test.

pub mod args;
pub mod config;
pub mod failure;
mod hex;
pub mod output;
pub mod serve;
pub mod service;
pub mod shutdown;
pub mod telemetry;
pub mod token;
