//! Walks over pages.

use sns_chaos::check::Kind;
use sns_chaos::history::{Act, Call, History, Op, Outcome, Page, Seen};

use super::{Spoiling, a_post, ops, text, told};
use crate::service::Rng;

pub(super) const SPOILINGS: &[Spoiling] = &[
    ("a post is missing on a page", Kind::Gap, missing),
    ("the newest post is missing", Kind::Gap, missing_first),
    (
        "the last post before the next page is missing",
        Kind::Gap,
        missing_last,
    ),
    ("a page is skipped", Kind::Gap, missing_page),
    ("a walk ends too early", Kind::Gap, ends_early),
    ("a post stands twice on a page", Kind::Gap, twice),
    (
        "a page repeats the last of the one before",
        Kind::Gap,
        repeats,
    ),
    ("a page comes again", Kind::Gap, page_again),
    ("two posts are swapped", Kind::Reordered, swapped),
    ("two pages are swapped", Kind::Reordered, swapped_pages),
    (
        "a post is newer than the state",
        Kind::Reordered,
        newer_than_state,
    ),
    (
        "a post is seen before it was called",
        Kind::Reordered,
        before_called,
    ),
    ("another text on a page", Kind::Invented, other_text),
    ("another author on a page", Kind::Invented, other_author),
    ("another id on a page", Kind::Invented, other_id),
    (
        "a stranger's post in the home timeline",
        Kind::Invented,
        stranger,
    ),
    (
        "somebody else's post on a user's page",
        Kind::Invented,
        somebody_else,
    ),
    (
        "a state that the log does not have",
        Kind::Invented,
        past_the_end,
    ),
    ("a page older than at_least", Kind::Stale, at_least),
    ("a page older than the one before", Kind::Stale, goes_back),
    (
        "a linearizable walk that misses a write",
        Kind::Stale,
        not_linearizable,
    ),
    (
        "a walk that misses the client's own write",
        Kind::Stale,
        own_write,
    ),
    ("a deleted post is shown", Kind::Stale, deleted),
    (
        "the post of somebody left is shown",
        Kind::Stale,
        unfollowed,
    ),
    ("a user is not found who is there", Kind::Stale, not_found),
];

fn pages(op: &mut Op) -> Option<&mut Vec<Page>> {
    match &mut op.call {
        Call::Walk { pages, .. } => Some(pages),
        _ => None,
    }
}

/// A walk whose pages are so.
fn a_walk<'a>(
    history: &'a mut History,
    rng: &mut Rng,
    is: impl Fn(&[Page]) -> bool,
) -> Option<&'a mut Op> {
    let fitting = ops(
        history,
        |op| matches!(&op.call, Call::Walk { pages, .. } if is(pages)),
    );
    let number = rng.pick(&fitting)?;
    Some(&mut history.ops[number])
}

/// A page of some walk with so many posts.
fn a_page<'a>(history: &'a mut History, rng: &mut Rng, posts: usize) -> Option<&'a mut Page> {
    let full = |page: &Page| page.posts.len() >= posts;
    let pages = pages(a_walk(history, rng, |pages| pages.iter().any(full))?)?;
    pages.iter_mut().find(|page| full(page))
}

fn missing(history: &mut History, rng: &mut Rng) -> Option<()> {
    let page = a_page(history, rng, 3)?;
    page.posts.remove(1);
    Some(())
}

fn missing_first(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| pages[0].posts.len() > 1)?;
    pages(walk)?[0].posts.remove(0);
    Some(())
}

fn missing_last(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| {
        pages.len() > 1 && pages[0].posts.len() > 1
    })?;
    // The next page was answered at a state that may not have it any more.
    let pages = pages(walk)?;
    let state = pages[0].seq;
    pages[0].posts.pop();
    pages[1..]
        .iter()
        .all(|page| page.seq == state && !page.posts.is_empty())
        .then_some(())
}

fn missing_page(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| pages.len() > 2)?;
    let pages = pages(walk)?;
    let state = pages[0].seq;
    pages.remove(1);
    pages
        .iter()
        .all(|page| page.seq == state && !page.posts.is_empty())
        .then_some(())
}

fn ends_early(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| pages.len() > 1)?;
    let Call::Walk {
        pages, complete, ..
    } = &mut walk.call
    else {
        return None;
    };
    pages.truncate(1);
    *complete = true;
    Some(())
}

fn twice(history: &mut History, rng: &mut Rng) -> Option<()> {
    let page = a_page(history, rng, 2)?;
    let at = rng.below(page.posts.len());
    page.posts.insert(at, page.posts[at].clone());
    Some(())
}

fn repeats(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| {
        pages.len() > 1 && !pages[0].posts.is_empty()
    })?;
    let pages = pages(walk)?;
    let last = pages[0].posts.last()?.clone();
    pages[1].posts.insert(0, last);
    Some(())
}

fn page_again(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| !pages[0].posts.is_empty())?;
    let pages = pages(walk)?;
    pages.insert(1, pages[0].clone());
    Some(())
}

fn swapped(history: &mut History, rng: &mut Rng) -> Option<()> {
    let page = a_page(history, rng, 2)?;
    let at = rng.below(page.posts.len() - 1);
    page.posts.swap(at, at + 1);
    Some(())
}

fn swapped_pages(history: &mut History, rng: &mut Rng) -> Option<()> {
    let both = |pages: &[Page]| {
        pages.len() > 1 && !pages[0].posts.is_empty() && !pages[1].posts.is_empty()
    };
    pages(a_walk(history, rng, both)?)?.swap(0, 1);
    Some(())
}

fn newer_than_state(history: &mut History, rng: &mut Rng) -> Option<()> {
    let page = a_page(history, rng, 1)?;
    page.seq = page.posts[0].id - 1;
    Some(())
}

fn before_called(history: &mut History, rng: &mut Rng) -> Option<()> {
    let first = history.ops.iter().filter_map(told).min()?;
    let walk = a_walk(history, rng, |pages| pages[0].seq >= first)?;
    (walk.start, walk.end) = (0, 0);
    Some(())
}

fn other_text(history: &mut History, rng: &mut Rng) -> Option<()> {
    a_page(history, rng, 1)?.posts[0].text.push('\u{1b}');
    Some(())
}

fn other_author(history: &mut History, rng: &mut Rng) -> Option<()> {
    a_page(history, rng, 1)?.posts[0].author.push('x');
    Some(())
}

fn other_id(history: &mut History, rng: &mut Rng) -> Option<()> {
    a_page(history, rng, 1)?.posts[0].id |= 0x8000;
    Some(())
}

fn past_the_end(history: &mut History, rng: &mut Rng) -> Option<()> {
    a_page(history, rng, 0)?.seq += 1 << 40;
    Some(())
}

/// All posts of calls: id, author, text.
fn posts(history: &History) -> Vec<Seen> {
    let ok = ops(history, |op| {
        matches!(op.call, Call::Post { .. }) && told(op).is_some()
    });
    let seen = ok.into_iter().filter_map(|number| {
        let op = &history.ops[number];
        Some(Seen {
            id: told(op)?,
            author: op.user.clone(),
            text: text(op),
        })
    });
    seen.collect()
}

/// Puts a post where it would stand on a page that fits, of the home timeline or of a user.
fn put(
    history: &mut History,
    rng: &mut Rng,
    home: bool,
    fits: impl Fn(&History, &Op, &Page, &Seen) -> bool,
) -> Option<()> {
    let mut found = Vec::new();
    for post in posts(history) {
        for (number, op) in history.ops.iter().enumerate() {
            let Call::Walk { of, pages, .. } = &op.call else {
                continue;
            };
            for (at, page) in pages.iter().enumerate() {
                let between = page.posts.first().is_some_and(|first| first.id > post.id)
                    && page.posts.last().is_some_and(|last| last.id < post.id)
                    && page.posts.iter().all(|other| other.id != post.id);
                if of.is_none() == home && between && fits(history, op, page, &post) {
                    found.push((number, at, post.clone()));
                }
            }
        }
    }
    let (number, at, post) = rng.pick(&found)?;
    let page = &mut pages(&mut history.ops[number])?[at];
    let place = page.posts.partition_point(|other| other.id > post.id);
    page.posts.insert(place, post);
    Some(())
}

/// Whether this stands in the log, in effect or not.
fn says(history: &History, act: &Act) -> bool {
    history.log.iter().any(|command| command.act == *act)
}

fn follow(op: &Op, post: &Seen) -> Act {
    Act::Follow {
        user: op.user.clone(),
        followee: post.author.clone(),
    }
}

fn stranger(history: &mut History, rng: &mut Rng) -> Option<()> {
    put(history, rng, true, |history, op, _, post| {
        post.author != op.user && !says(history, &follow(op, post))
    })
}

fn somebody_else(history: &mut History, rng: &mut Rng) -> Option<()> {
    put(
        history,
        rng,
        false,
        |_, op, _, post| !matches!(&op.call, Call::Walk { of: Some(of), .. } if *of == post.author),
    )
}

fn deleted(history: &mut History, rng: &mut Rng) -> Option<()> {
    put(history, rng, false, |history, op, page, post| {
        let right = matches!(&op.call, Call::Walk { of: Some(of), .. } if *of == post.author);
        right
            && history.ops.iter().any(|op| {
                op.call == Call::Delete { id: post.id }
                    && told(op).is_some_and(|seq| seq <= page.seq)
            })
    })
}

fn unfollowed(history: &mut History, rng: &mut Rng) -> Option<()> {
    put(history, rng, true, |history, op, page, post| {
        let call = Call::Unfollow {
            followee: post.author.clone(),
        };
        let mut left = history.ops.iter().filter(|other| other.call == call);
        let left = left
            .rfind(|other| other.user == op.user && told(other).is_some_and(|seq| seq <= page.seq));
        let gone = history
            .ops
            .iter()
            .any(|op| op.call == Call::Delete { id: post.id });
        let left = left.and_then(told);
        let again = |seq| {
            let mut later = history
                .log
                .iter()
                .skip_while(move |command| command.seq <= seq);
            later.any(|command| command.act == follow(op, post))
        };
        op.user != post.author && !gone && left.is_some_and(|seq| !again(seq))
    })
}

fn at_least(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |_| true)?;
    let Call::Walk {
        pages, at_least, ..
    } = &mut walk.call
    else {
        return None;
    };
    *at_least = pages[0].seq + 1;
    Some(())
}

fn goes_back(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |pages| pages.len() > 1)?;
    let pages = pages(walk)?;
    pages[1].seq = pages[0].seq - 1;
    Some(())
}

fn not_linearizable(history: &mut History, rng: &mut Rng) -> Option<()> {
    let misses = ops(history, |op| {
        let Call::Walk { pages, .. } = &op.call else {
            return false;
        };
        let mut others = history.ops.iter().filter(|other| other.end < op.start);
        others.any(|other| told(other).is_some_and(|seq| seq > pages[0].seq))
    });
    let number = rng.pick(&misses)?;
    let Call::Walk { linearizable, .. } = &mut history.ops[number].call else {
        return None;
    };
    *linearizable = true;
    Some(())
}

fn own_write(history: &mut History, rng: &mut Rng) -> Option<()> {
    let post = a_post(history, rng)?;
    let (client, seq) = (history.ops[post].client, told(&history.ops[post])?);
    let walk = history.ops[post + 1..]
        .iter_mut()
        .find(|op| op.client == client)?;
    let Call::Walk {
        at_least,
        linearizable,
        pages,
        complete,
        ..
    } = &mut walk.call
    else {
        return None;
    };
    // All it says of itself fits: only that it knew better is wrong.
    (*at_least, *linearizable, *complete) = (0, false, false);
    pages.truncate(1);
    pages[0].seq = seq - 1;
    pages[0].posts.clear();
    Some(())
}

fn not_found(history: &mut History, rng: &mut Rng) -> Option<()> {
    let walk = a_walk(history, rng, |_| true)?;
    pages(walk)?.clear();
    let reason = "USER_NOT_FOUND".into();
    walk.outcome = Outcome::Refused { reason };
    (walk.start > 1_000_000).then_some(())
}
