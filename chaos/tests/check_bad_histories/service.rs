//! A small simulated service that is right: clients that overlap, replicas that lag, retries that
//! stand in the log twice, outcomes that nobody can tell, and timelines that move from server to
//! server. Gives the history of a run, drawn from a seed.

#[path = "service/ending.rs"]
mod ending;
#[path = "service/state.rs"]
mod state;
#[path = "service/watching.rs"]
mod watching;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sns_chaos::history::{
    Act, Call, Command, Excuse, Fault, History, Micros, Op, Outcome, Page, Run, Stream,
};

use self::state::State;
use crate::rng::Rng;

/// How big a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) ops: usize,
    pub(crate) users: usize,
    pub(crate) clients: usize,
    pub(crate) watchers: usize,
    pub(crate) preloaded: usize,
    /// States that a replica may lag behind.
    pub(crate) lag: usize,
}

pub(crate) const SMALL: Size = Size {
    ops: 350,
    users: 7,
    clients: 9,
    watchers: 3,
    preloaded: 12,
    lag: 12,
};

/// Followed by every watcher, and never left: its last post ends the timelines.
const BEACON: usize = 0;
const SERVERS: [&str; 4] = ["a-master", "a-slave", "b-master", "b-slave"];
/// The time in which no server lives.
const DARK: (Micros, Micros) = (2_000_000, 3_400_000);

struct Walk {
    op: Op,
    of: Option<usize>,
    size: usize,
    most: usize,
    below: u64,
}

struct Client {
    user: usize,
    free: Micros,
    seen: u64,
    walk: Option<Walk>,
}

struct Watcher {
    user: usize,
    /// Of the changes: how many were looked at.
    next: usize,
    stream: Option<Stream>,
    opens: usize,
}

enum Change {
    Posted(u64, usize, Rc<str>),
    Deleted(u64, usize, u64),
}

pub(crate) struct Service {
    rng: Rng,
    size: Size,
    history: History,
    now: Micros,
    state: State,
    older: VecDeque<State>,
    changes: Vec<Change>,
    /// Writes of unknown outcome that are still under way.
    late: Vec<(Micros, Act)>,
    clients: Vec<Client>,
    watchers: Vec<Watcher>,
    texts: usize,
}

pub(crate) fn name(user: usize) -> String {
    format!("user{user}")
}

fn number(user: &str) -> usize {
    user.strip_prefix("user")
        .and_then(|no| no.parse().ok())
        .unwrap_or(BEACON)
}

/// A run that keeps every promise.
pub(crate) fn good(seed: u64, size: Size) -> History {
    let mut service = Service::new(seed, size);
    service.prepare();
    while service.history.ops.len() < size.ops {
        service.step();
    }
    service.end();
    service.history
}

impl Service {
    fn new(seed: u64, size: Size) -> Self {
        let state = State {
            posts: vec![BTreeMap::new(); size.users],
            follows: vec![BTreeMap::new(); size.users],
            ..State::default()
        };
        let mut rng = Rng(seed);
        let client = |number: usize| Client {
            user: if number == 0 {
                BEACON
            } else {
                number % size.users
            },
            free: 0,
            seen: 0,
            walk: None,
        };
        let watchers = (0..size.watchers).map(|number| Watcher {
            user: 1 + number % (size.users - 1),
            next: 0,
            stream: None,
            opens: if number == 0 {
                0
            } else {
                rng.below(size.ops / 2)
            },
        });
        let watchers = watchers.collect();
        Self {
            history: History {
                run: Run {
                    seed,
                    preloaded: size.preloaded as u64,
                    pairs: 2,
                    ..Run::default()
                },
                ..History::default()
            },
            rng,
            size,
            now: 1_000,
            state,
            older: VecDeque::new(),
            changes: Vec::new(),
            late: Vec::new(),
            clients: (0..size.clients).map(client).collect(),
            watchers,
            texts: 0,
        }
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("text {}\n", self.texts)
    }

    fn prepare(&mut self) {
        for user in 0..self.size.users {
            self.log(&Act::CreateUser { user: name(user) }, None);
        }
        for user in 1..self.size.users {
            self.log(&follow(user, BEACON), None);
            let other = self.rng.below(self.size.users);
            self.log(&follow(user, other), None);
        }
        for _ in 0..self.size.preloaded {
            let (user, text) = (name(self.rng.below(self.size.users)), self.text());
            self.log(&Act::CreatePost { user, text }, None);
        }
        for (kind, at, dark) in [("kill", 1_000_000, false), ("kill-all", DARK.0, true)] {
            let (servers, excuses) = if dark {
                (&SERVERS[..], Excuse::Everything)
            } else {
                (&SERVERS[..1], Excuse::Nothing)
            };
            self.history.faults.push(Fault {
                kind: kind.into(),
                target: servers[0].into(),
                servers: servers.iter().map(ToString::to_string).collect(),
                at,
                end: at + DARK.1 - DARK.0,
                excuses,
                ..Fault::default()
            });
        }
    }

    /// Appends a command and applies it; gives its seq, and why nothing came of it.
    fn log(&mut self, act: &Act, id: Option<String>) -> (u64, Option<&'static str>) {
        let same_entry = self.state.seq != 0 && self.rng.one_in(3);
        let seq = if same_entry {
            self.state.seq + 1
        } else {
            ((self.state.seq >> 16) + 1) << 16
        };
        self.put(seq, act.clone(), id);
        if self.size.lag > 0 {
            self.older.push_back(self.state.clone());
            if self.older.len() > self.size.lag {
                self.older.pop_front();
            }
        }
        self.state.seq = seq;
        self.state.since = self.now;
        (seq, self.apply(seq, act).err())
    }

    fn put(&mut self, seq: u64, act: Act, request_id: Option<String>) {
        let seen = 0;
        self.history.log.push(Command {
            seq,
            request_id,
            seen,
            act,
        });
    }

    fn apply(&mut self, seq: u64, act: &Act) -> Result<(), &'static str> {
        let state = &mut self.state;
        match act {
            Act::CreateUser { .. } | Act::Checkpoint => Ok(()),
            Act::Follow { user, followee } => {
                let (user, followee) = (number(user), number(followee));
                if user == followee {
                    return Err("SELF_FOLLOW");
                }
                if state.follows[user].contains_key(&followee) {
                    return Err("ALREADY_FOLLOWING");
                }
                state.follows[user].insert(followee, seq);
                Ok(())
            }
            Act::Unfollow { user, followee } => {
                let gone = state.follows[number(user)].remove(&number(followee));
                gone.map(|_| ()).ok_or("NOT_FOLLOWING")
            }
            Act::CreatePost { user, text } => {
                let (author, text): (_, Rc<str>) = (number(user), text.as_str().into());
                state.posts[author].insert(seq, Rc::clone(&text));
                self.changes.push(Change::Posted(seq, author, text));
                Ok(())
            }
            Act::DeletePost { user, id } => {
                let author = number(user);
                state.posts[author].remove(id).ok_or("POST_NOT_FOUND")?;
                self.changes.push(Change::Deleted(seq, author, *id));
                Ok(())
            }
        }
    }

    fn step(&mut self) {
        let pause = 1 + self.rng.below(6_000_000 / self.size.ops.min(500)) as u64;
        self.now += pause;
        if let Some(at) = self.late.iter().position(|(when, _)| *when <= self.now) {
            let (_, act) = self.late.remove(at);
            let id = self.id();
            self.log(&act, Some(id));
            self.now += 1;
        }
        if self.rng.one_in(40) {
            self.log(&Act::Checkpoint, None);
        }
        let chosen = self.rng.below(self.clients.len());
        if self.clients[chosen].free < self.now {
            if self.clients[chosen].walk.is_some() {
                self.walk_on(chosen);
            } else if self.rng.below(10) < 6 {
                self.write(chosen);
            } else {
                self.begin_walk(chosen);
            }
        }
        if self.size.watchers > 0 {
            let chosen = self.rng.below(self.size.watchers);
            self.watch(chosen);
        }
    }

    fn id(&mut self) -> String {
        format!("{:016x}{:016x}", self.rng.next(), self.rng.next())
    }

    fn begin(&mut self, client: usize, call: Call) -> Op {
        let who = &self.clients[client];
        let room = usize::try_from(self.now - who.free).map_or(9_000, |room| room.min(9_000));
        Op {
            client: u32::try_from(client).unwrap_or(0),
            user: name(who.user),
            call,
            start: self.now - self.rng.below(room) as u64,
            end: 0,
            server: SERVERS[self.rng.below(SERVERS.len())].into(),
            outcome: Outcome::Ok { seq: 0 },
        }
    }

    fn finish(&mut self, mut op: Op, outcome: Outcome) {
        op.end = self.now + self.rng.below(9_000) as u64;
        op.outcome = outcome;
        self.clients[op.client as usize].free = op.end;
        self.history.ops.push(op);
    }

    fn write(&mut self, client: usize) {
        let user = self.clients[client].user;
        let other = self.rng.below(self.size.users);
        let own: Vec<u64> = self.state.posts[user]
            .keys()
            .rev()
            .take(8)
            .copied()
            .collect();
        let call = match self.rng.below(10) {
            0..=5 => Call::Post { text: self.text() },
            6 => match self.rng.pick(&own) {
                // Now and then one that is not there.
                Some(id) if !self.rng.one_in(6) => Call::Delete { id },
                _ => Call::Delete { id: 1 << 16 },
            },
            7 | 8 => Call::Follow {
                followee: name(other),
            },
            _ if other == BEACON => Call::Post { text: self.text() },
            _ => Call::Unfollow {
                followee: name(other),
            },
        };
        let act = asked(&name(user), &call);
        let op = self.begin(client, call);
        if self.now > DARK.0 && self.now < DARK.1 && self.rng.one_in(2) {
            return self.fail(op, act);
        }
        let id = self.id();
        let (seq, refused) = self.log(&act, Some(id.clone()));
        if self.rng.one_in(6) {
            // The first answer was lost, and the retry stands in the log as well.
            let again = self.rng.one_in(2);
            let next = self.state.seq + if again { 1 } else { 0x2_0000 };
            let next = if again {
                next
            } else {
                (((next >> 16) - 1) << 16) | 3
            };
            self.put(next, act, Some(id));
            self.state.seq = next;
        }
        match refused {
            None => {
                let who = &mut self.clients[client];
                who.seen = who.seen.max(seq);
                self.finish(op, Outcome::Ok { seq });
            }
            Some(reason) => self.finish(
                op,
                Outcome::Refused {
                    reason: reason.into(),
                },
            ),
        }
    }

    /// Nobody can answer: it was not sent, or it takes effect now, later or never.
    fn fail(&mut self, op: Op, act: Act) {
        let reason = "OUTCOME_UNKNOWN".into();
        match self.rng.below(4) {
            0 => self.finish(
                op,
                Outcome::Refused {
                    reason: "NO_SERVER".into(),
                },
            ),
            1 => self.finish(op, Outcome::Unknown { reason }),
            2 => {
                let id = self.id();
                self.log(&act, Some(id));
                self.finish(op, Outcome::Unknown { reason });
            }
            _ => {
                let when = self.now + 100_000 + self.rng.below(200_000) as u64;
                self.late.push((when, act));
                self.finish(op, Outcome::Unknown { reason });
            }
        }
    }

    fn begin_walk(&mut self, client: usize) {
        let of = self.rng.one_in(3).then(|| self.rng.below(self.size.users));
        let call = Call::Walk {
            of: of.map(name),
            at_least: self.clients[client].seen,
            limit: 0,
            linearizable: self.rng.one_in(3),
            pages: Vec::new(),
            complete: false,
        };
        let op = self.begin(client, call);
        let (size, most) = (2 + self.rng.below(7), 1 + self.rng.below(6));
        let mut op = op;
        if let Call::Walk { limit, .. } = &mut op.call {
            *limit = size;
        }
        let below = u64::MAX;
        self.clients[client].walk = Some(Walk {
            op,
            of,
            size,
            most,
            below,
        });
        self.walk_on(client);
    }

    fn walk_on(&mut self, client: usize) {
        let Some(mut walk) = self.clients[client].walk.take() else {
            return;
        };
        let Call::Walk {
            linearizable,
            pages,
            complete,
            ..
        } = &mut walk.op.call
        else {
            return;
        };
        // Any replica that is not behind what was asked for.
        let (start, seen) = (walk.op.start, self.clients[client].seen);
        let all = self.older.iter().chain([&self.state]);
        let mut states: Vec<&State> = all.filter(|state| state.seq >= seen).collect();
        if *linearizable && pages.is_empty() {
            let then = states
                .iter()
                .rposition(|state| state.since <= start)
                .unwrap_or(0);
            states.drain(..then);
        }
        let state = states[self.rng.below(states.len())];
        let (found, more) = state.page(self.clients[client].user, walk.of, walk.below, walk.size);
        walk.below = found.last().map_or(walk.below, |last| last.0);
        pages.push(Page {
            seq: state.seq,
            posts: found.into_iter().map(|post| state.seen(post)).collect(),
        });
        *complete = !more;
        self.clients[client].seen = state.seq;
        if !more || pages.len() >= walk.most {
            self.finish(walk.op, Outcome::Ok { seq: 0 });
        } else {
            self.clients[client].walk = Some(walk);
        }
    }
}

fn follow(user: usize, followee: usize) -> Act {
    let (user, followee) = (name(user), name(followee));
    Act::Follow { user, followee }
}

fn asked(user: &str, call: &Call) -> Act {
    let user = user.to_owned();
    match call.clone() {
        Call::Post { text } => Act::CreatePost { user, text },
        Call::Delete { id } => Act::DeletePost { user, id },
        Call::Follow { followee } => Act::Follow { user, followee },
        Call::Unfollow { followee }
        | Call::Walk {
            of: Some(followee), ..
        } => Act::Unfollow { user, followee },
        Call::Walk { of: None, .. } => Act::Checkpoint,
    }
}
