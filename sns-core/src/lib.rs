//! A social feed you can embed, replicate and kill.

mod clock;
mod command;
mod error;
pub mod limits;
pub mod log;
mod post;
mod seq;
mod user;

pub use clock::Clock;
pub use command::RequestId;
pub use error::{Error, ErrorKind, Reason, Result};
pub use post::{Post, Text, User};
pub use seq::Seq;
pub use user::Username;
