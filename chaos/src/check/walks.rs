//! Walks over pages: each page is exactly what the state that answered it has between the page
//! before and its own last post.
//!
//! A post that came before in the walk is a *gap* (the walk repeats), and so is one that is missing.
//! One that stands in the wrong place without having come before is *reordered*. One that was
//! deleted, or whose author was not followed any more, at the state that answered is *stale*.

use std::collections::{HashMap, HashSet};

use super::facts::Facts;
use super::model::{Model, NEVER, Post};
use super::report::{Kind, Place, Report, ms, seq};
use crate::history::{Call, History, Op, Outcome, Page, Seen};

pub(super) fn check(history: &History, facts: &Facts<'_>, report: &mut Report) {
    // What each user of a client had been told so far: the library promises to read nothing older.
    let mut told: HashMap<(u32, &str), u64> = HashMap::new();
    let mut by_time: Vec<usize> = (0..history.ops.len()).collect();
    by_time.sort_by_key(|number| (history.ops[*number].start, history.ops[*number].end));
    let mut scratch = Vec::new();
    for number in by_time {
        let op = &history.ops[number];
        let session = told.entry((op.client, &op.user)).or_default();
        let mut highest = *session;
        if let Call::Walk {
            of,
            at_least,
            limit,
            linearizable,
            pages,
            complete,
        } = &op.call
        {
            let walk = Walk {
                facts,
                op,
                place: Place::Op(number),
                of: of.as_deref(),
                complete: *complete,
            };
            walk.states(pages, (*at_least).max(highest), *linearizable, report);
            walk.full(pages, *limit, report);
            walk.posts(pages, &mut scratch, report);
            walk.refusal(report);
            highest = pages.iter().map(|page| page.seq).fold(highest, u64::max);
        } else if let Outcome::Ok { seq } = op.outcome {
            highest = highest.max(seq);
        }
        *session = highest.min(facts.last() | 0xFFFF);
    }
}

struct Walk<'a> {
    facts: &'a Facts<'a>,
    op: &'a Op,
    place: Place,
    of: Option<&'a str>,
    complete: bool,
}

impl Walk<'_> {
    fn name(&self) -> String {
        let op = self.op;
        let whose = self.of.map_or_else(
            || format!("the home timeline of {:?}", op.user),
            |of| format!("the posts of {of:?}"),
        );
        format!(
            "the walk of client {} over {whose}, {}..{},",
            op.client,
            ms(op.start),
            ms(op.end)
        )
    }

    fn add(&self, report: &mut Report, kind: Kind, page: usize, what: impl FnOnce() -> String) {
        report.add(kind, self.place.clone(), || {
            format!("{} page {}: {}", self.name(), page + 1, what())
        });
    }

    /// The states that answered: none older than promised, none from the future.
    fn states(&self, pages: &[Page], at_least: u64, linearizable: bool, report: &mut Report) {
        let mut floor = (at_least, "the caller had seen before");
        let known = self.facts.known_before(self.op.start);
        if linearizable && known > at_least {
            floor = (
                known,
                "was acknowledged before the call, which was linearizable",
            );
        }
        for (number, page) in pages.iter().enumerate() {
            if page.seq < floor.0 {
                self.add(report, Kind::Stale, number, || {
                    let (behind, why) = (seq(floor.0), floor.1);
                    format!("answered at seq {}, but {behind} {why}", seq(page.seq))
                });
            }
            if page.seq > self.facts.last() | 0xFFFF {
                self.add(report, Kind::Invented, number, || {
                    let last = seq(self.facts.last());
                    format!(
                        "answered at seq {}, but the log ends at {last}",
                        seq(page.seq)
                    )
                });
            }
            if let Some((later, called)) = self.facts.asked_later(page.seq, self.op.end) {
                self.add(report, Kind::Reordered, number, || {
                    let (state, later, called) = (seq(page.seq), seq(later), ms(called));
                    format!("answered at seq {state}, but {later} was called only at {called}")
                });
            }
            if number == 0 {
                floor = (at_least, "the caller had seen before");
            }
            if page.seq > floor.0 {
                floor = (page.seq, "had answered the page before");
            }
        }
    }

    /// Every page but the one that ends the listing has as many posts as were asked for.
    fn full(&self, pages: &[Page], limit: usize, report: &mut Report) {
        for (number, page) in pages.iter().enumerate() {
            let ends = self.complete && number + 1 == pages.len();
            let posts = page.posts.len();
            if limit > 0 && (posts > limit || posts < limit && !ends) {
                self.add(report, Kind::Gap, number, || {
                    format!("{posts} posts where {limit} were asked for, and it is not the end")
                });
            }
        }
    }

    /// What the pages show.
    fn posts(&self, pages: &[Page], scratch: &mut Vec<u32>, report: &mut Report) {
        let model = &self.facts.model;
        let reader = model.user(&self.op.user);
        let author = self.of.map(|of| model.user(of));
        let mut below = u64::MAX;
        let mut came: HashSet<u64> = HashSet::new();
        for (number, page) in pages.iter().enumerate() {
            let mut here: Vec<&Seen> = Vec::with_capacity(page.posts.len());
            let mut last = below;
            for post in &page.posts {
                // Only a walk that goes wrong needs to know all that came.
                if post.id >= last {
                    if came.is_empty() {
                        let before = pages[..number].iter().flat_map(|page| &page.posts);
                        came.extend(before.map(|post| post.id));
                    }
                    let again =
                        came.contains(&post.id) || here.iter().any(|before| before.id == post.id);
                    let kind = if again { Kind::Gap } else { Kind::Reordered };
                    self.add(report, kind, number, || {
                        let how = if again {
                            "came before"
                        } else {
                            "stands behind an older one"
                        };
                        format!("post {} {how}", seq(post.id))
                    });
                }
                last = last.min(post.id);
                here.push(post);
            }
            came.clear();
            here.sort_by_key(|post| std::cmp::Reverse(post.id));
            here.dedup_by_key(|post| post.id);
            let at_end = self.complete && number + 1 == pages.len();
            let from = if at_end { 0 } else { last };
            // `posts_between` knows the user of the page by the log only.
            match (reader, author) {
                (_, Some(None)) | (None, None) => scratch.clear(),
                (reader, author) => {
                    let (reader, of) = (reader.unwrap_or(0), author.flatten());
                    if at_end || !page.posts.is_empty() {
                        model.page(reader, of, (from, below), page.seq, scratch);
                    } else {
                        scratch.clear();
                    }
                }
            }
            self.compare(number, page, &here, scratch, below, report);
            below = below.min(last);
        }
    }

    /// What should be there, and what came; both newest first.
    fn compare(
        &self,
        number: usize,
        page: &Page,
        here: &[&Seen],
        expected: &[u32],
        below: u64,
        report: &mut Report,
    ) {
        let model = &self.facts.model;
        let mut expected = expected
            .iter()
            .map(|place| &model.posts[*place as usize])
            .peekable();
        for seen in here {
            while let Some(missing) = expected.next_if(|post| post.id > seen.id) {
                self.missing(number, page, missing, report);
            }
            match expected.next_if(|post| post.id == seen.id) {
                Some(post) => self.same(number, seen, post, report),
                // What came before, or behind an older one, was told already.
                None if seen.id >= below => {
                    if let Some(post) = model.post(seen.id) {
                        self.same(number, seen, post, report);
                    }
                }
                None => self.extra(number, page, seen, report),
            }
        }
        for missing in expected {
            self.missing(number, page, missing, report);
        }
    }

    fn missing(&self, number: usize, page: &Page, post: &Post<'_>, report: &mut Report) {
        self.add(report, Kind::Gap, number, || {
            let author = self.facts.model.name(post.author);
            format!(
                "post {} of {author:?}, \"{}\", is missing; the state is that of seq {}",
                seq(post.id),
                post.text.escape_debug(),
                seq(page.seq)
            )
        });
    }

    fn same(&self, number: usize, seen: &Seen, post: &Post<'_>, report: &mut Report) {
        if let Some(what) = differs(&self.facts.model, seen, post) {
            self.add(report, Kind::Invented, number, || what);
        }
    }

    fn extra(&self, number: usize, page: &Page, seen: &Seen, report: &mut Report) {
        let model = &self.facts.model;
        let Some(post) = model.post(seen.id) else {
            self.add(report, Kind::Invented, number, || unknown(seen));
            return;
        };
        // Whether it ever belonged there; a follow that is over, or a deletion, is old news.
        let belonged = match (self.of, model.user(&self.op.user)) {
            (Some(of), _) => model.name(post.author) == of,
            (None, Some(reader)) => {
                let spans = model.spans(reader, post.author);
                reader == post.author || spans.iter().any(|span| span.from <= page.seq)
            }
            (None, None) => false,
        };
        let (id, state, author) = (post.id, page.seq, model.name(post.author));
        let (kind, why) = if let Some(what) = differs(model, seen, post) {
            (Kind::Invented, what)
        } else if id > state {
            (Kind::Reordered, "it is newer than that".into())
        } else if !belonged {
            (Kind::Invented, "whose posts do not belong there".into())
        } else if post.deleted <= state {
            (Kind::Stale, format!("deleted at seq {}", seq(post.deleted)))
        } else {
            (Kind::Stale, "who was not followed any more".into())
        };
        self.add(report, kind, number, || {
            let (id, state) = (seq(id), seq(state));
            format!("the state {state} has no post {id} of {author:?} there: {why}")
        });
    }

    /// A walk may be told that there is no such user only if there was none.
    fn refusal(&self, report: &mut Report) {
        let refused =
            matches!(&self.op.outcome, Outcome::Refused { reason } if reason == "USER_NOT_FOUND");
        let user = self.of.unwrap_or(&self.op.user);
        let created = self.facts.model.created(user);
        if refused && created != NEVER && created <= self.facts.known_before(self.op.start) {
            report.add(Kind::Stale, self.place.clone(), || {
                let since = seq(created);
                format!(
                    "{} was refused: no user {user:?}; made at seq {since}",
                    self.name()
                )
            });
        }
    }
}

/// What is wrong with a post that the log has.
pub(super) fn differs(model: &Model<'_>, seen: &Seen, post: &Post<'_>) -> Option<String> {
    let author = model.name(post.author);
    (seen.author != author || seen.text != post.text).then(|| {
        format!(
            "post {} came as \"{}\" of {:?}; the log has \"{}\" of {author:?}",
            seq(post.id),
            seen.text.escape_debug(),
            seen.author,
            post.text.escape_debug()
        )
    })
}

/// What is wrong with a post that the log has not.
pub(super) fn unknown(seen: &Seen) -> String {
    let (id, author, text) = (seq(seen.id), &seen.author, seen.text.escape_debug());
    format!("the log has no post {id}, which came as \"{text}\" of {author:?}")
}
