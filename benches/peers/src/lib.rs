//! Redis, `PostgreSQL` and SNS under the same load, each with its best known scheme.

pub mod args;
pub mod campaign;
mod cli;
mod failure;
pub mod feed;
pub mod graphs;
pub mod machine;
pub mod places;
pub mod process;
pub mod pull;
pub mod record;
pub mod retwis;
pub mod schemes;
pub mod sns;
pub mod systems;
pub mod target;

pub use cli::main;
pub use failure::{Failure, Result};
