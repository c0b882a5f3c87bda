//! Kills, stops and cuts a running SNS under load, and proves from the history of what its clients
//! were told that nothing was lost, nothing came twice, and one order holds everywhere.

pub mod args;
pub mod check;
mod cli;
mod clock;
mod cluster;
mod collect;
mod facade;
mod failure;
mod faults;
mod follower;
pub mod history;
mod load;
mod log;
mod namespace;
mod nats;
mod needs;
mod progress;
mod report;
mod resources;
mod run;
mod wire;

pub use cli::main;
pub use faults::{Kind, Kinds};
pub use log::LogKind;
