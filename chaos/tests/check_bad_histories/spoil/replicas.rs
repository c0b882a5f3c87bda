//! Replicas in the end.

#![allow(
    clippy::unnecessary_wraps,
    reason = "all of them have one type, and most do not fit every history"
)]

use sns_chaos::check::Kind;
use sns_chaos::history::{History, List};

use super::Spoiling;
use crate::rng::Rng;

pub(super) const SPOILINGS: &[Spoiling] = &[
    ("a digest differs", Kind::Diverged, digest),
    ("a replica is behind", Kind::Diverged, behind),
    (
        "all replicas are behind the log",
        Kind::Diverged,
        all_behind,
    ),
    ("a replica misses a post", Kind::Lost, missing_post),
    ("all replicas miss a post", Kind::Lost, all_miss),
    ("a home timeline misses a post", Kind::Lost, missing_at_home),
    ("a replica has a post twice", Kind::Duplicated, twice),
    (
        "a replica has posts in another order",
        Kind::Reordered,
        swapped,
    ),
    (
        "a home timeline is in another order",
        Kind::Reordered,
        swapped_at_home,
    ),
    ("a replica has a post of its own", Kind::Invented, extra),
    ("a replica has another text", Kind::Invented, other_sum),
    ("a replica misses a followee", Kind::Lost, missing_followee),
    ("a replica misses a follower", Kind::Lost, missing_follower),
    (
        "a replica has a follower of its own",
        Kind::Invented,
        extra_follower,
    ),
    (
        "a follower is listed twice",
        Kind::Duplicated,
        follower_twice,
    ),
    ("names are not in order", Kind::Reordered, swapped_names),
    ("a replica listed nothing", Kind::Incomplete, nothing_listed),
    ("there are no listings", Kind::Incomplete, no_listings),
    ("there are no replicas", Kind::Incomplete, no_replicas),
    ("a replica is not there", Kind::Incomplete, one_missing),
    ("a replica does not serve", Kind::Failed, not_serving),
    ("no replica has a digest", Kind::Failed, no_digests),
];

fn digest(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = rng.below(history.replicas.len());
    history.replicas[number].digest.push('0');
    Some(())
}

fn behind(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = rng.below(history.replicas.len());
    history.replicas[number].applied -= 1;
    Some(())
}

fn all_behind(history: &mut History, _: &mut Rng) -> Option<()> {
    for replica in &mut history.replicas {
        replica.applied -= 1;
    }
    Some(())
}

/// The ids of a listing of the posts of a user, or of the home timeline, with so many.
fn ids<'a>(
    history: &'a mut History,
    rng: &mut Rng,
    home: bool,
    least: usize,
) -> Option<&'a mut Vec<u64>> {
    let lists = history
        .listings
        .iter_mut()
        .filter_map(|listing| match &mut listing.list {
            List::Posts { ids, .. } if !home => Some(ids),
            List::Home { ids, .. } if home => Some(ids),
            _ => None,
        });
    let mut fitting: Vec<_> = lists.filter(|ids| ids.len() >= least).collect();
    let number = rng.below(fitting.len());
    (number < fitting.len()).then(|| fitting.swap_remove(number))
}

fn missing_post(history: &mut History, rng: &mut Rng) -> Option<()> {
    ids(history, rng, false, 1)?.pop();
    Some(())
}

fn missing_at_home(history: &mut History, rng: &mut Rng) -> Option<()> {
    ids(history, rng, true, 1)?.remove(0);
    Some(())
}

fn all_miss(history: &mut History, rng: &mut Rng) -> Option<()> {
    let gone = *ids(history, rng, false, 1)?.first()?;
    for listing in &mut history.listings {
        if let List::Posts { ids, .. } | List::Home { ids, .. } = &mut listing.list {
            ids.retain(|id| *id != gone);
        }
    }
    Some(())
}

fn twice(history: &mut History, rng: &mut Rng) -> Option<()> {
    let ids = ids(history, rng, false, 1)?;
    ids.push(ids[0]);
    Some(())
}

fn swapped(history: &mut History, rng: &mut Rng) -> Option<()> {
    ids(history, rng, false, 2)?.swap(0, 1);
    Some(())
}

fn swapped_at_home(history: &mut History, rng: &mut Rng) -> Option<()> {
    ids(history, rng, true, 2)?.reverse();
    Some(())
}

fn extra(history: &mut History, rng: &mut Rng) -> Option<()> {
    ids(history, rng, false, 0)?.insert(0, u64::MAX >> 8);
    Some(())
}

fn other_sum(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = rng.below(history.listings.len());
    match &mut history.listings[number].list {
        List::Posts { sum, .. } | List::Home { sum, .. } => *sum ^= 1,
        _ => return None,
    }
    Some(())
}

/// The names of a listing with so many.
fn names<'a>(
    history: &'a mut History,
    rng: &mut Rng,
    followers: bool,
    least: usize,
) -> Option<&'a mut Vec<String>> {
    let lists = history
        .listings
        .iter_mut()
        .filter_map(|listing| match &mut listing.list {
            List::Following { names } if !followers => Some(names),
            List::Followers { names } if followers => Some(names),
            _ => None,
        });
    let mut fitting: Vec<_> = lists.filter(|names| names.len() >= least).collect();
    let number = rng.below(fitting.len());
    (number < fitting.len()).then(|| fitting.swap_remove(number))
}

fn missing_followee(history: &mut History, rng: &mut Rng) -> Option<()> {
    names(history, rng, false, 1)?.pop();
    Some(())
}

fn missing_follower(history: &mut History, rng: &mut Rng) -> Option<()> {
    names(history, rng, true, 1)?.pop();
    Some(())
}

fn extra_follower(history: &mut History, rng: &mut Rng) -> Option<()> {
    names(history, rng, true, 0)?.push("zoe".into());
    Some(())
}

fn follower_twice(history: &mut History, rng: &mut Rng) -> Option<()> {
    let names = names(history, rng, true, 1)?;
    names.insert(0, names[0].clone());
    Some(())
}

fn swapped_names(history: &mut History, rng: &mut Rng) -> Option<()> {
    names(history, rng, true, 2)?.swap(0, 1);
    Some(())
}

fn nothing_listed(history: &mut History, rng: &mut Rng) -> Option<()> {
    let name = history.replicas[rng.below(history.replicas.len())]
        .name
        .clone();
    history.listings.retain(|listing| listing.replica != name);
    Some(())
}

fn no_listings(history: &mut History, _: &mut Rng) -> Option<()> {
    history.listings.clear();
    Some(())
}

fn no_replicas(history: &mut History, _: &mut Rng) -> Option<()> {
    history.replicas.clear();
    Some(())
}

fn one_missing(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = rng.below(history.replicas.len());
    let gone = history.replicas.remove(number);
    history
        .listings
        .retain(|listing| listing.replica != gone.name);
    Some(())
}

fn not_serving(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = rng.below(history.replicas.len());
    history.replicas[number].state = "failed".into();
    Some(())
}

fn no_digests(history: &mut History, _: &mut Rng) -> Option<()> {
    for replica in &mut history.replicas {
        replica.digest.clear();
    }
    Some(())
}
