//! What a history says about real time: when each command was asked for at the earliest, and what
//! everybody could know at a time.

use std::collections::HashMap;

use super::model::{Effect, Model};
use crate::history::{Act, Call, Command, Event, History, Micros, Op, Outcome};

/// What a write says: two with the same cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Content<'a> {
    Post { user: &'a str, text: &'a str },
    Delete { user: &'a str, id: u64 },
    Follow { user: &'a str, followee: &'a str },
    Unfollow { user: &'a str, followee: &'a str },
}

impl<'a> Content<'a> {
    /// Of a call; `None`: it writes nothing.
    pub(super) fn of_op(op: &'a Op) -> Option<Self> {
        let user = op.user.as_str();
        Some(match &op.call {
            Call::Post { text } => Self::Post { user, text },
            Call::Delete { id } => Self::Delete { user, id: *id },
            Call::Follow { followee } => Self::Follow { user, followee },
            Call::Unfollow { followee } => Self::Unfollow { user, followee },
            Call::Walk { .. } => return None,
        })
    }

    /// Of a command; `None`: it is nothing that a client is told the seq of.
    pub(super) fn of_act(act: &'a Act) -> Option<Self> {
        Some(match act {
            Act::CreatePost { user, text } => Self::Post { user, text },
            Act::DeletePost { user, id } => Self::Delete { user, id: *id },
            Act::Follow { user, followee } => Self::Follow { user, followee },
            Act::Unfollow { user, followee } => Self::Unfollow { user, followee },
            Act::CreateUser { .. } | Act::Checkpoint => return None,
        })
    }
}

/// The calls that asked for one content, and what of it the log holds beyond what they were told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) ok: u32,
    pub(super) unknown: u32,
    pub(super) refused: u32,
    /// Told a seq at which the log has something else.
    pub(super) misplaced: u32,
    /// Effects in the log that no call was told of.
    pub(super) untold: u32,
    /// The place of the first of these in the log.
    pub(super) first_untold: u32,
    /// When the first call of unknown or misplaced outcome was made.
    pub(super) called: Micros,
}

/// No call was told of this command.
pub(super) const NOBODY: u32 = u32::MAX;

/// The log, what it stands for, and what was known when.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) log: &'a [Command],
    pub(super) model: Model<'a>,
    pub(super) tallies: HashMap<Content<'a>, Tally>,
    /// Of each command: the call that was told its seq, or [`NOBODY`].
    pub(super) told: Vec<u32>,
    /// Place of the first command that a call was told of: what stands before was prepared.
    pub(super) prepared: usize,
    /// Calls that were told a seq at which the log has something else.
    pub(super) misplaced: Vec<usize>,
    /// Of each command: when it was called at the earliest; 0 = at any time.
    called: Vec<Micros>,
    /// Of each command: which one up to it was called last.
    latest: Vec<u32>,
    /// Times, and the highest seq that anybody had been told until then; both ascend.
    known: Vec<(Micros, u64)>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(history: &'a History, log: &'a [Command]) -> Self {
        let mut facts = Self {
            log,
            model: Model::fold(log),
            tallies: HashMap::new(),
            told: vec![NOBODY; log.len()],
            prepared: log.len(),
            misplaced: Vec::new(),
            called: vec![0; log.len()],
            latest: Vec::new(),
            known: Vec::new(),
        };
        for (number, op) in history.ops.iter().enumerate() {
            facts.take_op(number, op);
        }
        facts.take_untold();
        let mut latest = 0;
        for place in 0..log.len() {
            if facts.called[place] >= facts.called[latest] {
                latest = place;
            }
            facts.latest.push(u32::try_from(latest).unwrap_or(NOBODY));
        }
        facts.know(history);
        facts
    }

    fn take_op(&mut self, number: usize, op: &'a Op) {
        let Some(content) = Content::of_op(op) else {
            return;
        };
        let mut misplaced = false;
        if let Outcome::Ok { seq } = op.outcome {
            let place = self.place(seq).filter(|place| {
                let command = &self.log[*place];
                self.model.effects[*place] == Effect::Done
                    && self.told[*place] == NOBODY
                    && Content::of_act(&command.act) == Some(content)
            });
            if let Some(place) = place {
                self.told[place] = u32::try_from(number).unwrap_or(NOBODY);
                self.called[place] = op.start;
                self.prepared = self.prepared.min(place);
            } else {
                self.misplaced.push(number);
                misplaced = true;
            }
        }
        let tally = self.tallies.entry(content).or_default();
        let unsure = match op.outcome {
            Outcome::Ok { .. } => {
                tally.ok += 1;
                misplaced
            }
            Outcome::Refused { .. } => {
                tally.refused += 1;
                false
            }
            Outcome::Unknown { .. } => {
                tally.unknown += 1;
                true
            }
        };
        tally.misplaced += u32::from(misplaced);
        if unsure {
            let first = tally.misplaced + tally.unknown == 1;
            tally.called = if first {
                op.start
            } else {
                tally.called.min(op.start)
            };
        }
    }

    /// Effects that no call was told of belong to calls of unknown outcome, if to any.
    fn take_untold(&mut self) {
        for (place, command) in self.log.iter().enumerate() {
            if self.told[place] != NOBODY || self.model.effects[place] != Effect::Done {
                continue;
            }
            let Some(content) = Content::of_act(&command.act) else {
                continue;
            };
            let prepared = place < self.prepared && !matches!(content, Content::Post { .. });
            let Some(tally) = self.tallies.get_mut(&content) else {
                continue;
            };
            if prepared && tally.unknown + tally.misplaced == 0 {
                continue;
            }
            if tally.untold == 0 {
                tally.first_untold = u32::try_from(place).unwrap_or(NOBODY);
            }
            tally.untold += 1;
            if tally.unknown + tally.misplaced > 0 && !prepared {
                self.called[place] = tally.called;
            }
        }
    }

    fn know(&mut self, history: &History) {
        let last = self.log.last().map_or(0, |command| command.seq | 0xFFFF);
        for op in &history.ops {
            let seq = match (&op.call, &op.outcome) {
                (Call::Walk { pages, .. }, _) => pages.iter().map(|page| page.seq).max(),
                (_, Outcome::Ok { seq }) => Some(*seq),
                _ => None,
            };
            self.known.extend(seq.map(|seq| (op.end, seq)));
        }
        for event in history.streams.iter().flat_map(|stream| &stream.events) {
            match event {
                Event::Post { at, post } => self.known.push((*at, post.id)),
                Event::Deleted { at, seq, .. } => self.known.push((*at, *seq)),
                Event::Lost { .. } | Event::Resumed { .. } => {}
            }
        }
        // What never was in the log is told elsewhere; it must not taint everything after it.
        self.known.retain(|(_, seq)| *seq <= last);
        self.known.sort_unstable();
        let mut highest = 0;
        self.known.retain(|(_, seq)| {
            let more = *seq > highest;
            highest = highest.max(*seq);
            more
        });
        self.known.shrink_to_fit();
    }

    /// The place in the log of the command with this seq.
    pub(super) fn place(&self, seq: u64) -> Option<usize> {
        self.log
            .binary_search_by_key(&seq, |command| command.seq)
            .ok()
    }

    /// How many commands stand up to this seq.
    fn up_to(&self, seq: u64) -> usize {
        self.log.partition_point(|command| command.seq <= seq)
    }

    /// The last seq of the log; 0: it is empty.
    pub(super) fn last(&self) -> u64 {
        self.log.last().map_or(0, |command| command.seq)
    }

    /// The highest seq that anybody had been told of before this time.
    pub(super) fn known_before(&self, at: Micros) -> u64 {
        let after = self.known.partition_point(|(time, _)| *time < at);
        after.checked_sub(1).map_or(0, |last| self.known[last].1)
    }

    /// Somebody knew of this seq at this time: a command up to it that was only called later cannot
    /// be. Gives its seq, and when it was called.
    pub(super) fn asked_later(&self, seq: u64, at: Micros) -> Option<(u64, Micros)> {
        let last = self.up_to(seq).checked_sub(1)?;
        let latest = self.latest[last] as usize;
        let called = self.called[latest];
        (called > at).then(|| (self.log[latest].seq, called))
    }

    /// Whether what happened at this seq can have happened by this time.
    pub(super) fn may_be_by(&self, seq: u64, at: Micros) -> bool {
        seq != super::model::NEVER && self.place(seq).is_none_or(|place| self.called[place] <= at)
    }
}
