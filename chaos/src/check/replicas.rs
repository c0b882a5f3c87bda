//! Replicas in the end: all at the end of the log, with one digest, and each listing as the log
//! says.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use super::facts::Facts;
use super::model::{NEVER, UserNo};
use super::report::{Kind, Place, Report};
use crate::history::{History, List, Listing, sum};

pub(super) fn check(history: &History, facts: &Facts<'_>, report: &mut Report) {
    if history.replicas.is_empty() {
        report.add(Kind::Incomplete, Place::Run, || {
            "no replica said what it has in the end".into()
        });
    }
    if history.listings.is_empty() {
        report.add(Kind::Incomplete, Place::Run, || {
            "no replica listed anything in the end".into()
        });
    }
    states(history, facts, report);
    listings(history, facts, report);
}

fn states(history: &History, facts: &Facts<'_>, report: &mut Report) {
    let last = facts.last() >> 16;
    let mut digests: HashMap<&str, u32> = HashMap::new();
    let mut listed: HashMap<&str, u32> = HashMap::new();
    for listing in &history.listings {
        *listed.entry(&listing.replica).or_default() += 1;
    }
    let most = listed.values().copied().max().unwrap_or(0);
    let names: HashSet<&str> = history.replicas.iter().map(|it| it.name.as_str()).collect();
    let nodes = 2 * history.run.pairs as usize;
    if names.len() != nodes || history.replicas.len() != nodes {
        report.add(Kind::Incomplete, Place::Run, || {
            format!("{} replicas told what they have, of {nodes}", names.len())
        });
    }
    for replica in &history.replicas {
        *digests.entry(&replica.digest).or_default() += 1;
        let place = || Place::Replica(replica.name.clone());
        if replica.state != "serving" || replica.digest.is_empty() {
            report.add(Kind::Failed, place(), || {
                let (state, digest) = (&replica.state, &replica.digest);
                format!("in the end it is {state}, with the digest {digest:?}")
            });
        }
        if replica.applied != last {
            report.add(Kind::Diverged, place(), || {
                let applied = replica.applied;
                format!("applied the log up to entry {applied}, and it ends at {last}")
            });
        }
        let listings = listed.get(replica.name.as_str()).copied().unwrap_or(0);
        if listings != most {
            report.add(Kind::Incomplete, place(), || {
                format!("{listings} of its listings are there, of others {most}")
            });
        }
    }
    // With a draw, the first by name is taken: that they differ is what counts.
    let usual = digests
        .iter()
        .max_by_key(|(digest, count)| (**count, std::cmp::Reverse(**digest)))
        .map(|(digest, _)| *digest);
    for replica in &history.replicas {
        if Some(replica.digest.as_str()) != usual {
            report.add(Kind::Diverged, Place::Replica(replica.name.clone()), || {
                let (digest, usual) = (&replica.digest, usual.unwrap_or_default());
                format!("its digest is {digest}, that of the others is {usual}")
            });
        }
    }
}

/// A listing as the log says it is.
enum Expected<'a> {
    Posts(Vec<u64>, u64),
    Names(Vec<&'a str>),
}

fn listings(history: &History, facts: &Facts<'_>, report: &mut Report) {
    let key = |listing: &Listing| match &listing.list {
        List::Posts { .. } => (0, 0),
        list @ List::Home { .. } => (1, most(list)),
        List::Following { .. } => (2, 0),
        List::Followers { .. } => (3, 0),
    };
    // Those that have to be the same stand together, so that each is folded once.
    let mut order: Vec<&Listing> = history.listings.iter().collect();
    order.sort_by(|one, other| (&one.user, key(one)).cmp(&(&other.user, key(other))));
    let followers = followers(facts);
    for same in order.chunk_by(|one, other| one.user == other.user && key(one) == key(other)) {
        let expected = expected(facts, &followers, same[0]);
        for listing in same {
            compare(listing, &expected, report);
        }
    }
}

/// How many posts of a home timeline were asked for.
fn most(list: &List) -> usize {
    match list {
        List::Home { ids, complete, .. } if !complete => ids.len(),
        _ => usize::MAX,
    }
}

/// Of each user, who follows them in the end.
fn followers<'a>(facts: &'a Facts<'_>) -> Vec<Vec<&'a str>> {
    let model = &facts.model;
    let mut followers = vec![Vec::new(); model.follows.len()];
    for (reader, follows) in (0..).zip(&model.follows) {
        for (followee, spans) in follows {
            if spans.last().is_some_and(|last| last.until == NEVER) {
                followers[*followee as usize].push(model.name(reader));
            }
        }
    }
    followers
}

fn expected<'a>(
    facts: &'a Facts<'_>,
    followers: &[Vec<&'a str>],
    listing: &Listing,
) -> Expected<'a> {
    let model = &facts.model;
    let user = model.user(&listing.user);
    let posts = |of: Option<UserNo>| {
        let mut places = Vec::new();
        if let Some(user) = user {
            model.page(user, of, (0, NEVER), NEVER - 1, &mut places);
            places.truncate(most(&listing.list));
        }
        let posts = || places.iter().map(|place| &model.posts[*place as usize]);
        let sum = sum(posts().map(|post| (model.name(post.author), post.text)));
        Expected::Posts(posts().map(|post| post.id).collect(), sum)
    };
    let sorted = |mut names: Vec<&'a str>| {
        names.sort_unstable();
        Expected::Names(names)
    };
    match &listing.list {
        List::Posts { .. } => posts(user),
        List::Home { .. } => posts(None),
        List::Following { .. } => {
            let follows = user.map(|user| &model.follows[user as usize]);
            let now = follows
                .into_iter()
                .flatten()
                .filter(|(_, spans)| spans.last().is_some_and(|last| last.until == NEVER));
            sorted(now.map(|(followee, _)| model.name(*followee)).collect())
        }
        List::Followers { .. } => {
            sorted(user.map_or_else(Vec::new, |user| followers[user as usize].clone()))
        }
    }
}

fn compare(listing: &Listing, expected: &Expected<'_>, report: &mut Report) {
    match (&listing.list, expected) {
        (
            List::Posts { ids, sum } | List::Home { ids, sum, .. },
            Expected::Posts(right, right_sum),
        ) => {
            let same = same(listing, right, ids, report);
            if same && sum != right_sum {
                add(listing, Kind::Invented, report, || {
                    "the posts are the right ones, but a text or an author differs".into()
                });
            }
        }
        (List::Following { names } | List::Followers { names }, Expected::Names(right)) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            same(listing, right, &names, report);
        }
        // They are made by the kind of the listing.
        _ => {}
    }
}

fn add(listing: &Listing, kind: Kind, report: &mut Report, what: impl FnOnce() -> String) {
    report.add(kind, Place::Replica(listing.replica.clone()), || {
        let list = match listing.list {
            List::Posts { .. } => "posts",
            List::Home { .. } => "home timeline",
            List::Following { .. } => "followees",
            List::Followers { .. } => "followers",
        };
        format!("the {list} of {:?}: {}", listing.user, what())
    });
}

/// Whether both are the same; tells how they differ.
fn same<T: Hash + Eq + Copy + Debug>(
    listing: &Listing,
    right: &[T],
    found: &[T],
    report: &mut Report,
) -> bool {
    if right == found {
        return true;
    }
    let mut left: HashSet<T> = right.iter().copied().collect();
    let all = left.clone();
    let mut set_differs = false;
    for item in found {
        if !left.remove(item) {
            set_differs = true;
            let twice = all.contains(item);
            let kind = if twice {
                Kind::Duplicated
            } else {
                Kind::Invented
            };
            add(listing, kind, report, || {
                let what = if twice {
                    "stands there twice"
                } else {
                    "is not there by the log"
                };
                format!("{item:?} {what}")
            });
        }
    }
    for item in right {
        if left.contains(item) {
            set_differs = true;
            add(listing, Kind::Lost, report, || {
                format!("{item:?} is missing")
            });
        }
    }
    if !set_differs {
        let differs = right.iter().zip(found).find(|(one, other)| one != other);
        add(listing, Kind::Reordered, report, || {
            let (right, found) = differs.unzip();
            format!("in another order: {found:?} where the log has {right:?}")
        });
    }
    false
}
