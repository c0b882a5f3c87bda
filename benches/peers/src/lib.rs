//! Redis, `PostgreSQL` and SNS under the same load, each with its best known scheme.

mod failure;
pub mod feed;
pub mod places;
pub mod process;
pub mod pull;
pub mod retwis;
pub mod sns;
pub mod target;

pub use failure::{Failure, Result};
