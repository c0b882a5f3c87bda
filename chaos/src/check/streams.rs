//! Timelines: everything behind `after` comes once, in the order of seqs; what was followed all the
//! time has to come, what was not followed by an older follow must not.
//!
//! When a server looked whether an author is followed is not known, but it was before the next
//! event came. So a post may be missing only if its deletion, or the end of the follow, may have
//! been there by then.

use std::collections::HashSet;

use super::facts::Facts;
use super::model::{NEVER, Span, UserNo};
use super::report::{Kind, Place, Report, ms, seq};
use super::walks::{differs, unknown};
use crate::history::{Event, History, Micros, Seen, Stream};

/// So many deletions are kept for streams that resume (sns.proto, `TimelineDeleted`).
const DELETIONS: usize = 100_000;

pub(super) fn check(history: &History, facts: &Facts<'_>, report: &mut Report) {
    for (number, stream) in history.streams.iter().enumerate() {
        let mut watch = Watch {
            facts,
            stream,
            number,
            report,
        };
        watch.ends();
        let came = watch.order();
        watch.content(&came);
    }
}

/// An event that moves the stream.
#[derive(Clone, Copy)]
struct Came<'a> {
    seq: u64,
    at: Micros,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Post(&'a Seen),
    Deleted(u64),
}

/// What can come: a post or a deletion; the place of the post.
#[derive(Clone, Copy)]
struct Candidate {
    seq: u64,
    post: u32,
    deletion: bool,
    /// How long the reader follows.
    until: u64,
}

struct Watch<'a> {
    facts: &'a Facts<'a>,
    stream: &'a Stream,
    number: usize,
    report: &'a mut Report,
}

impl<'a> Watch<'a> {
    fn add(&mut self, kind: Kind, what: impl FnOnce() -> String) {
        let stream = self.stream;
        self.report.add(kind, Place::Stream(self.number), || {
            let (client, user, after) = (stream.client, &stream.user, seq(stream.after));
            format!(
                "the timeline of client {client} ({user:?}) after {after}: {}",
                what()
            )
        });
    }

    /// How it ended.
    fn ends(&mut self) {
        let stream = self.stream;
        if let Some(why) = &stream.failed {
            let end = ms(stream.end);
            self.add(Kind::Failed, || {
                format!("ended at {end}: {}", why.escape_debug())
            });
            return;
        }
        let came = |until: u64| {
            let mut events = stream.events.iter().rev();
            events.any(|event| matches!(event, Event::Post { post, .. } if post.id == until))
        };
        match stream.until {
            None => self.add(Kind::Gap, || {
                let waited = ms(stream.end.saturating_sub(stream.start));
                format!("the post it waited for never came, within {waited}")
            }),
            Some(until) if !came(until) => {
                self.add(Kind::Gap, || format!("post {} never came", seq(until)));
            }
            Some(_) => {}
        }
    }

    /// Seqs ascend, and nothing comes twice; gives what came in the order of seqs.
    fn order(&mut self) -> Vec<Came<'a>> {
        let stream = self.stream;
        let mut came: Vec<Came<'a>> = Vec::with_capacity(stream.events.len());
        let mut seen: HashSet<u64> = HashSet::new();
        let mut last = stream.after;
        let mut early = false;
        for event in &stream.events {
            let (at, seq_of, what) = match event {
                Event::Post { at, post } => (*at, post.id, What::Post(post)),
                Event::Deleted { at, id, seq } => (*at, *seq, What::Deleted(*id)),
                Event::Lost { .. } | Event::Resumed { .. } => continue,
            };
            if seq_of <= last {
                if seen.is_empty() {
                    seen.extend(came.iter().map(|came| came.seq));
                }
                let again = seen.contains(&seq_of) || seq_of <= stream.after;
                let kind = if again { Kind::Gap } else { Kind::Reordered };
                self.add(kind, || {
                    let (seq_of, last, at) = (seq(seq_of), seq(last), ms(at));
                    let how = if again { "again" } else { "late" };
                    format!("{seq_of} came {how}, behind {last}, at {at}")
                });
            }
            if !seen.is_empty() {
                seen.insert(seq_of);
            }
            last = last.max(seq_of);
            // One is enough: all that follows comes too early as well.
            if !early && let Some((later, called)) = self.facts.asked_later(seq_of, at) {
                early = true;
                self.add(Kind::Reordered, || {
                    let (seq_of, at, later) = (seq(seq_of), ms(at), seq(later));
                    format!(
                        "{seq_of} came at {at}, but {later} was called at {}",
                        ms(called)
                    )
                });
            }
            came.push(Came {
                seq: seq_of,
                at,
                what,
            });
        }
        came.sort_by_key(|came| (came.seq, came.at));
        came.dedup_by_key(|came| came.seq);
        came
    }

    /// Everything that must come came, and nothing else than what may.
    fn content(&mut self, came: &[Came<'a>]) {
        let stream = self.stream;
        let Some(reader) = self.facts.model.user(&stream.user) else {
            self.add(Kind::Incomplete, || "the log has no such user".into());
            return;
        };
        let last = came.last().map_or(0, |came| came.seq);
        let bound = stream.until.unwrap_or(0).max(last);
        let candidates = self.candidates(reader, stream.after, bound);
        let mut candidates = candidates.iter().peekable();
        for event in came {
            while let Some(candidate) = candidates.next_if(|other| other.seq < event.seq) {
                self.missing(candidate, event.at);
            }
            let candidate = candidates.next_if(|other| other.seq == event.seq);
            self.judge(event, candidate);
        }
        for candidate in candidates {
            self.missing(candidate, stream.end);
        }
    }

    /// What may come in `after..=bound`, in the order of seqs.
    fn candidates(&self, reader: UserNo, after: u64, bound: u64) -> Vec<Candidate> {
        let model = &self.facts.model;
        let mut found = Vec::new();
        let always = Span {
            from: 0,
            until: NEVER,
        };
        let mut take = |author, span: Span| {
            // A follow older than the post, and not over when the post is made.
            let from = after.max(span.from).saturating_add(1);
            let to = span.until.min(bound.saturating_add(1));
            for (seq, post) in model.posts_between(author, from, to) {
                found.push(Candidate {
                    seq: *seq,
                    post: *post,
                    deletion: false,
                    until: span.until,
                });
            }
        };
        take(reader, always);
        for (author, spans) in &model.follows[reader as usize] {
            for span in spans {
                take(*author, *span);
            }
        }
        let begin = model
            .deletions
            .partition_point(|deletion| deletion.0 <= after);
        for (seq, post) in &model.deletions[begin..] {
            if *seq > bound {
                break;
            }
            let author = model.posts[*post as usize].author;
            let spans = if author == reader {
                std::slice::from_ref(&always)
            } else {
                model.spans(reader, author)
            };
            // Told to whom follows the author when it is told, since whenever.
            let Some(last) = spans.iter().rev().find(|span| span.until > *seq) else {
                continue;
            };
            let covering = spans.iter().find(|span| span.covers(*seq)).unwrap_or(last);
            let owed = covering.covers(*seq) && model.deletions.len() <= DELETIONS;
            found.push(Candidate {
                seq: *seq,
                post: *post,
                deletion: true,
                until: if owed { covering.until } else { 0 },
            });
        }
        found.sort_unstable_by_key(|candidate| candidate.seq);
        found
    }

    /// It did not come, and what was sent next came at `at`.
    fn missing(&mut self, candidate: &Candidate, at: Micros) {
        let facts = self.facts;
        let post = &facts.model.posts[candidate.post as usize];
        let gone = !candidate.deletion && facts.may_be_by(post.deleted, at);
        // 0: nobody promised that it comes.
        if gone || candidate.until == 0 || facts.may_be_by(candidate.until, at) {
            return;
        }
        self.add(Kind::Gap, || {
            let what = if candidate.deletion { "the deletion of post" } else { "post" };
            let (id, author) = (seq(post.id), facts.model.name(post.author));
            let text = post.text.escape_debug();
            format!(
                "{what} {id} of {author:?}, \"{text}\", never came, and what is behind it did by {}",
                ms(at)
            )
        });
    }

    fn judge(&mut self, event: &Came<'a>, candidate: Option<&Candidate>) {
        let facts = self.facts;
        let model = &facts.model;
        match (event.what, candidate) {
            (What::Post(seen), Some(candidate)) if !candidate.deletion => {
                let post = &model.posts[candidate.post as usize];
                if let Some(what) = differs(model, seen, post) {
                    self.add(Kind::Invented, || what);
                }
            }
            (What::Deleted(id), Some(candidate))
                if candidate.deletion && model.posts[candidate.post as usize].id == id => {}
            // Told with the order.
            _ if event.seq <= self.stream.after => {}
            (What::Post(seen), _) => self.add(Kind::Invented, || match model.post(seen.id) {
                None => unknown(seen),
                Some(post) => differs(model, seen, post).unwrap_or_else(|| {
                    let (id, author) = (seq(post.id), model.name(post.author));
                    format!("post {id} is of {author:?}, whom no older follow follows")
                }),
            }),
            (What::Deleted(id), _) => self.add(Kind::Invented, || {
                let (at, id) = (seq(event.seq), seq(id));
                format!("at {at} the log has no deletion of {id} that concerns the reader")
            }),
        }
    }
}
