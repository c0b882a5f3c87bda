//! The documents as tests: every command in them is run, every link followed.
//!
//! A fenced block of `sh` is a promise that its commands work. `tests/commands.rs` runs the blocks of
//! one document in their order, in one shell and one scratch directory, with the programs of this
//! workspace on the path. What stands behind `sh` on the fence says otherwise:
//!
//! - `sh background` starts one program that stays. The next block begins once it printed a line, and
//!   it is stopped at the end of the document.
//! - `sh not-run=REASON` cannot be run in a test, for one of [`REASONS`]. Of our own programs in it
//!   the subcommands and flags must exist.
//! - A line with `Ctrl-C` in the comment behind it is interrupted after two seconds.
//!
//! What is printed, and grammars, are fenced as `text`; flags in lines that begin with a program of ours
//! must exist there too.

mod page;
mod ports;
mod session;
mod tree;
mod words;

pub use page::{Block, How, Page, REASONS};
pub use session::run;
pub use tree::{documents, root};
pub use words::{Spoken, spoken};
