//! What the benchmarks and `sns-figures` share: workloads, and the floors that each figure stands on.
//!
//! Every bench says what it runs on: the data set is made here with a fixed seed, or is one of two
//! public graphs ([`Graph`]), so two runs compare. Durable means the directory log on the file system
//! that the data lies on.

mod draw;
pub mod floor;
mod graph;
pub mod load;

use sns_core::{Sns, Username};

pub use draw::Draw;
pub use graph::{Graph, GraphFile};
pub use load::InFlight;

/// As in the binaries: glibc's allocator is slower where one thread frees what another made.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A text of 100 bytes, the mean of short posts.
pub const TEXT: &str = "A post of one hundred bytes: long enough to say something, short enough to \
                        be read in one breath...";

/// A text of so many bytes and characters.
pub fn text(bytes: usize) -> String {
    TEXT.chars().cycle().take(bytes).collect()
}

/// A name by its number.
///
/// # Panics
/// Never: the name is a good one.
pub fn name(number: usize) -> Username {
    Username::parse(&format!("user{number:07}")).expect("a good name")
}

/// The names of the users 0 to `users`.
pub fn names(users: usize) -> Vec<Username> {
    (0..users).map(name).collect()
}

/// A reader (user 0) who follows `followees` users (1 to `followees`) with `posts` posts each of 100
/// bytes, made in turns, so that the newest posts come from as many authors as can be.
///
/// # Panics
/// When a write fails.
pub fn reader_with_followees(sns: &Sns, followees: usize, posts: usize) -> Username {
    let all = names(followees + 1);
    load::users(sns, &all, &mut |_| ());
    let edges: Vec<(u32, u32)> = (1_u32..).take(followees).map(|n| (0, n)).collect();
    load::follows(sns, &all, &edges, &mut |_| ());
    load::posts_in_turns(sns, &all[1..], posts, TEXT, &mut |_| ());
    all[0]
}

/// Prints a figure that a bench stands on.
#[allow(clippy::print_stdout, reason = "figures go where criterion's go")]
pub fn note(text: &str) {
    println!("note: {text}");
}

/// Prints a measured time beside the physical floor of it, and the ratio.
pub fn beside(what: &str, measured: std::time::Duration, floor: &str, least: std::time::Duration) {
    let ratio = measured.as_secs_f64() / least.as_secs_f64().max(1e-12);
    note(&format!(
        "{what}: {measured:?}; floor: {floor}: {least:?}; ratio {ratio:.1}"
    ));
}
