//! Timelines.

use sns_chaos::check::Kind;
use sns_chaos::history::{Act, Event, History, Seen, Stream};

use super::{Spoiling, a_post, text, told};
use crate::service::Rng;

pub(super) const SPOILINGS: &[Spoiling] = &[
    ("a post never comes", Kind::Gap, missing),
    (
        "what comes after a resume is skipped",
        Kind::Gap,
        skipped_after_resume,
    ),
    ("a post comes twice", Kind::Gap, twice),
    (
        "a resume repeats the last event",
        Kind::Gap,
        repeats_after_resume,
    ),
    ("a deletion never comes", Kind::Gap, missing_deletion),
    ("a deletion comes twice", Kind::Gap, deletion_twice),
    ("the end never comes", Kind::Gap, no_end),
    ("the last post is another", Kind::Gap, other_end),
    ("what was before the start comes", Kind::Gap, before_start),
    ("two events are swapped", Kind::Reordered, swapped),
    (
        "a post comes after its deletion",
        Kind::Reordered,
        after_deletion,
    ),
    (
        "a post comes before it was called",
        Kind::Reordered,
        before_called,
    ),
    ("another text comes", Kind::Invented, other_text),
    ("another author comes", Kind::Invented, other_author),
    ("a stranger's post comes", Kind::Invented, stranger),
    (
        "a deletion of another post comes",
        Kind::Invented,
        other_deletion,
    ),
    ("the deletion of nothing comes", Kind::Invented, no_deletion),
    ("a stream fails", Kind::Failed, fails),
];

fn a_stream<'a>(history: &'a mut History, rng: &mut Rng) -> Option<&'a mut Stream> {
    let number = rng.below(history.streams.len());
    history.streams.get_mut(number)
}

/// A stream, and an event of it that is so.
fn an_event(
    history: &History,
    rng: &mut Rng,
    is: impl Fn(&Stream, usize) -> bool,
) -> Option<(usize, usize)> {
    let mut found = Vec::new();
    for (number, stream) in history.streams.iter().enumerate() {
        let fitting = (0..stream.events.len()).filter(|at| is(stream, *at));
        found.extend(fitting.map(|at| (number, at)));
    }
    rng.pick(&found)
}

fn seq(event: &Event) -> Option<u64> {
    match event {
        Event::Post { post, .. } => Some(post.id),
        Event::Deleted { seq, .. } => Some(*seq),
        _ => None,
    }
}

fn post(stream: &Stream, at: usize) -> Option<&Seen> {
    match &stream.events[at] {
        Event::Post { post, .. } => Some(post),
        _ => None,
    }
}

/// Whether this post has to come: it was never deleted, and its author never left.
fn owed(history: &History, stream: &Stream, post: &Seen) -> bool {
    let (user, author) = (&stream.user, &post.author);
    !history.log.iter().any(|command| match &command.act {
        Act::DeletePost { id, .. } => *id == post.id,
        Act::Unfollow {
            user: reader,
            followee,
        } => reader == user && followee == author,
        _ => false,
    })
}

/// A post that has to come, but not the last.
fn an_owed(history: &History, rng: &mut Rng) -> Option<(usize, usize)> {
    an_event(history, rng, |stream, at| {
        let post = post(stream, at);
        post.is_some_and(|post| Some(post.id) != stream.until && owed(history, stream, post))
    })
}

fn missing(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = an_owed(history, rng)?;
    history.streams[stream].events.remove(at);
    Some(())
}

fn skipped_after_resume(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = an_event(history, rng, |stream, at| {
        let resumed = at > 0 && matches!(stream.events[at - 1], Event::Resumed { .. });
        let next = post(stream, at);
        resumed
            && next.is_some_and(|post| Some(post.id) != stream.until && owed(history, stream, post))
    })?;
    history.streams[stream].events.remove(at);
    Some(())
}

fn twice(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = an_event(history, rng, |stream, at| post(stream, at).is_some())?;
    let events = &mut history.streams[stream].events;
    let later = at + rng.below(events.len() - at);
    events.insert(later + 1, events[at].clone());
    Some(())
}

fn repeats_after_resume(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = an_event(history, rng, |stream, at| {
        let before = at
            .checked_sub(2)
            .and_then(|before| seq(&stream.events[before]));
        matches!(stream.events[at], Event::Resumed { .. }) && before.is_some()
    })?;
    let events = &mut history.streams[stream].events;
    events.insert(at + 1, events[at - 2].clone());
    Some(())
}

fn missing_deletion(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = an_event(history, rng, |stream, at| {
        let Event::Deleted { id, seq: gone, .. } = stream.events[at] else {
            return false;
        };
        // Its author is known when the post came, and was followed before it was deleted.
        let mut seen = (0..at).filter_map(|before| post(stream, before));
        let Some(post) = seen.find(|post| post.id == id) else {
            return false;
        };
        let author = post.author.clone();
        let never_left = Seen {
            id: gone,
            author,
            text: String::new(),
        };
        owed(history, stream, &never_left)
    })?;
    history.streams[stream].events.remove(at);
    Some(())
}

fn a_deletion(history: &History, rng: &mut Rng) -> Option<(usize, usize)> {
    an_event(history, rng, |stream, at| {
        matches!(stream.events[at], Event::Deleted { .. })
    })
}

fn deletion_twice(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = a_deletion(history, rng)?;
    let events = &mut history.streams[stream].events;
    events.insert(at, events[at].clone());
    Some(())
}

fn no_end(history: &mut History, rng: &mut Rng) -> Option<()> {
    let stream = a_stream(history, rng)?;
    stream.until = None;
    stream.events.pop();
    Some(())
}

fn other_end(history: &mut History, rng: &mut Rng) -> Option<()> {
    a_stream(history, rng)?.events.pop();
    Some(())
}

fn before_start(history: &mut History, rng: &mut Rng) -> Option<()> {
    let stream = a_stream(history, rng)?;
    let first = stream.events.iter().filter_map(seq).min()?;
    let at = stream
        .events
        .iter()
        .position(|event| seq(event) == Some(first))?;
    stream.after = first;
    post(stream, at).map(|_| ())
}

fn swapped(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = an_event(history, rng, |stream, at| {
        let next = stream.events.get(at + 1).and_then(seq);
        seq(&stream.events[at]).is_some() && next.is_some()
    })?;
    history.streams[stream].events.swap(at, at + 1);
    Some(())
}

fn after_deletion(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = a_deletion(history, rng)?;
    let events = &mut history.streams[stream].events;
    let Event::Deleted { id, .. } = events[at] else {
        return None;
    };
    let came = events.iter().position(|event| seq(event) == Some(id))?;
    let moved = events.remove(came);
    events.insert(at, moved);
    Some(())
}

fn before_called(history: &mut History, rng: &mut Rng) -> Option<()> {
    let first = history.ops.iter().filter_map(told).min()?;
    let (stream, event) = an_event(history, rng, |stream, at| {
        post(stream, at).is_some_and(|post| post.id > first)
    })?;
    if let Event::Post { at, .. } = &mut history.streams[stream].events[event] {
        *at = 0;
    }
    Some(())
}

fn change(history: &mut History, rng: &mut Rng, how: fn(&mut Seen)) -> Option<()> {
    let (stream, at) = an_event(history, rng, |stream, at| post(stream, at).is_some())?;
    if let Event::Post { post, .. } = &mut history.streams[stream].events[at] {
        how(post);
    }
    Some(())
}

fn other_text(history: &mut History, rng: &mut Rng) -> Option<()> {
    change(history, rng, |post| post.text.insert(0, ' '))
}

fn other_author(history: &mut History, rng: &mut Rng) -> Option<()> {
    change(history, rng, |post| post.author.push('0'))
}

fn stranger(history: &mut History, rng: &mut Rng) -> Option<()> {
    let op = &history.ops[a_post(history, rng)?];
    let (id, author, text) = (told(op)?, op.user.clone(), text(op));
    let stream = rng.below(history.streams.len());
    let user = history.streams[stream].user.clone();
    let follow = Act::Follow {
        user: user.clone(),
        followee: author.clone(),
    };
    let stream = &history.streams[stream];
    let known = user == author || history.log.iter().any(|command| command.act == follow);
    let next = stream
        .events
        .iter()
        .position(|event| seq(event).is_some_and(|seq| seq > id))?;
    if known || id <= stream.after {
        return None;
    }
    let number = history
        .streams
        .iter()
        .position(|other| other.client == stream.client)?;
    let events = &mut history.streams[number].events;
    let at = match &events[next] {
        Event::Post { at, .. } | Event::Deleted { at, .. } => *at,
        _ => return None,
    };
    events.insert(
        next,
        Event::Post {
            at,
            post: Seen { id, author, text },
        },
    );
    Some(())
}

fn other_deletion(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, at) = a_deletion(history, rng)?;
    if let Event::Deleted { id, .. } = &mut history.streams[stream].events[at] {
        *id += 1;
    }
    Some(())
}

fn no_deletion(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (stream, event) = an_event(history, rng, |stream, at| post(stream, at).is_some())?;
    let events = &mut history.streams[stream].events;
    if let Event::Post { at, post } = events[event].clone() {
        let (id, seq) = (post.id, post.id | 0x7FFF);
        events.insert(event + 1, Event::Deleted { at, id, seq });
    }
    Some(())
}

fn fails(history: &mut History, rng: &mut Rng) -> Option<()> {
    a_stream(history, rng)?.failed = Some("SEQ_UNKNOWN".into());
    Some(())
}
