//! A process may die between any two steps in which its view is written: what is left comes back as
//! it must be, and a redo file that is torn or flipped does no harm.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/feed.rs"]
mod feed;

use std::fs;

use checks::{Killed, copy_view, view_of};
use feed::draw::Draw;

#[test]
fn a_kill_between_any_two_steps_of_a_write_leaves_a_view_that_comes_back() {
    checks::killed_views_come_back(None);
}

#[test]
fn a_stopped_view_is_sound_by_its_own_sums_and_kept() {
    checks::a_sound_view_is_kept(None);
}

#[test]
fn a_torn_or_flipped_redo_file_is_carried_out_by_nobody() {
    let mut draw = Draw::new();
    let killed = Killed::new(None);
    let data = killed.data.path();
    let redo = |node: &str| view_of(data, node).join("sns-redo");
    let with_redo: Vec<&String> = killed
        .nodes
        .iter()
        .filter(|node| redo(node).exists())
        .collect();
    assert!(!with_redo.is_empty(), "no kill came between two batches");
    let mut kept = 0;
    for round in 0..40 {
        let node = with_redo[usize::try_from(draw.below(with_redo.len() as u64)).unwrap()];
        let copy = format!("round{round}");
        copy_view(&view_of(data, node), &view_of(data, &copy));
        let mut bytes = fs::read(redo(node)).unwrap();
        let at = usize::try_from(draw.below(bytes.len() as u64)).unwrap();
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << draw.below(8);
        }
        fs::write(redo(&copy), bytes).unwrap();
        println!("round {round}: {node}, byte {at}");
        kept += usize::from(killed.comes_back(killed.builder(&copy), &copy));
        assert!(!redo(&copy).exists());
    }
    // Where nothing of the batch was in the database yet, the file is not needed; else the view is
    // found to be unsound and rebuilt.
    println!("{kept} of 40 views kept");
    assert!((1..40).contains(&kept));
}
