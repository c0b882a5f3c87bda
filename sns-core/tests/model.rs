//! `Sns` against a plain model in memory, over random sequences of everything a user can do.

#![allow(clippy::unwrap_used, reason = "this is test code")]

#[path = "support/bench.rs"]
mod bench;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sns_core::{EventKind, Post, Reason, RequestId, Seq, Sns, Subscribe, Username};

use bench::Bench;

const NAMES: [&str; 7] = ["alice", "bob", "carol", "dave", "eve", "frank", "grace"];

/// What a random user does next; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Login(usize),
    Follow(usize, usize),
    Unfollow(usize, usize),
    Post(usize, u8),
    Delete(usize, usize),
    /// The same request again, as a client does that saw no answer.
    Retry(usize),
    /// The id of an old request with another content.
    Misuse(usize),
    Home {
        reader: usize,
        limit: usize,
        since_follow: bool,
        exclude_own: bool,
    },
    Profile {
        user: usize,
        limit: usize,
    },
    Lists {
        user: usize,
        limit: usize,
    },
    Resume {
        reader: usize,
        after: usize,
    },
    Restart,
    LoseView,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = 0..NAMES.len();
    let step = prop_oneof![
        2 => user.clone().prop_map(Step::Login),
        5 => (user.clone(), user.clone()).prop_map(|(a, b)| Step::Follow(a, b)),
        2 => (user.clone(), user.clone()).prop_map(|(a, b)| Step::Unfollow(a, b)),
        12 => (user.clone(), any::<u8>()).prop_map(|(a, n)| Step::Post(a, n)),
        3 => (user.clone(), any::<usize>()).prop_map(|(a, n)| Step::Delete(a, n)),
        2 => any::<usize>().prop_map(Step::Retry),
        1 => any::<usize>().prop_map(Step::Misuse),
        2 => (user.clone(), 1..9_usize, any::<bool>(), any::<bool>()).prop_map(
            |(reader, limit, since_follow, exclude_own)| Step::Home {
                reader, limit, since_follow, exclude_own
            }
        ),
        1 => (user.clone(), 1..9_usize).prop_map(|(user, limit)| Step::Profile { user, limit }),
        1 => (user.clone(), 1..4_usize).prop_map(|(user, limit)| Step::Lists { user, limit }),
        1 => (user, any::<usize>()).prop_map(|(reader, after)| Step::Resume { reader, after }),
        1 => Just(Step::Restart),
        1 => Just(Step::LoseView),
    ];
    prop::collection::vec(step, 1..300)
}

/// What was asked for under a request id, and what came of it.
#[derive(Clone, Debug)]
struct Request {
    id: RequestId,
    what: Wish,
    outcome: Result<u64, Reason>,
}

#[derive(Clone, Debug)]
enum Wish {
    Follow(Username, Username),
    Unfollow(Username, Username),
    Post(Username, String),
    Delete(Username, Seq),
}

/// The same feed, as plain as can be.
#[derive(Default)]
struct Model {
    users: BTreeSet<Username>,
    follows: BTreeMap<(Username, Username), Seq>,
    posts: BTreeMap<Seq, Post>,
    deletions: Vec<(Seq, Post)>,
    requests: Vec<Request>,
    applied: Vec<Seq>,
}

impl Model {
    /// What a wish must come to.
    fn verdict(&self, wish: &Wish) -> Result<(), Reason> {
        let known = |user: &Username| {
            self.users
                .contains(user)
                .then_some(())
                .ok_or(Reason::UserNotFound)
        };
        match wish {
            Wish::Follow(a, b) => {
                known(a)?;
                if a == b {
                    return Err(Reason::SelfFollow);
                }
                known(b)?;
                let again = self.follows.contains_key(&(*a, *b));
                if again {
                    Err(Reason::AlreadyFollowing)
                } else {
                    Ok(())
                }
            }
            Wish::Unfollow(a, b) => {
                known(a)?;
                known(b)?;
                let there = self.follows.contains_key(&(*a, *b));
                if there {
                    Ok(())
                } else {
                    Err(Reason::NotFollowing)
                }
            }
            Wish::Post(a, _) => known(a),
            Wish::Delete(a, id) => {
                known(a)?;
                let own = self.posts.get(id).is_some_and(|post| post.author == *a);
                if own {
                    Ok(())
                } else {
                    Err(Reason::PostNotFound)
                }
            }
        }
    }

    fn sources(&self, reader: Username, exclude_own: bool) -> BTreeMap<Username, Seq> {
        let mut sources: BTreeMap<_, _> = self
            .follows
            .iter()
            .filter(|((a, _), _)| *a == reader)
            .map(|((_, b), seq)| (*b, *seq))
            .collect();
        if !exclude_own {
            sources.insert(reader, Seq::ZERO);
        }
        sources
    }

    fn home(&self, reader: Username, since_follow: bool, exclude_own: bool) -> Vec<Post> {
        let sources = self.sources(reader, exclude_own);
        let wanted = |post: &&Post| {
            let since = sources.get(&post.author);
            since.is_some_and(|since| !since_follow || post.id > *since)
        };
        self.posts.values().rev().filter(wanted).cloned().collect()
    }
}

fn wish(sns: &Sns, id: RequestId, wish: &Wish) -> Result<Done, Reason> {
    let write = sns.write().request_id(id);
    let result = match wish {
        Wish::Follow(a, b) => write.follow(a, b).wait().map(Done::Seq),
        Wish::Unfollow(a, b) => write.unfollow(a, b).wait().map(Done::Seq),
        Wish::Delete(a, id) => write.delete(a, *id).wait().map(Done::Seq),
        Wish::Post(a, text) => write.post(a, text).wait().map(Done::Post),
    };
    result.map_err(|error| error.reason())
}

enum Done {
    Seq(Seq),
    Post(Post),
}

impl Done {
    fn seq(&self) -> Seq {
        match self {
            Self::Seq(seq) => *seq,
            Self::Post(post) => post.id,
        }
    }
}

fn carry_out(model: &mut Model, sns: &Sns, what: Wish) {
    let id = RequestId::random();
    let verdict = model.verdict(&what);
    let done = wish(sns, id, &what);
    assert_eq!(
        done.as_ref().map(|_| ()).map_err(|reason| *reason),
        verdict,
        "{what:?}"
    );
    let outcome = done
        .as_ref()
        .map(|done| done.seq().as_u64())
        .map_err(|reason| *reason);
    // A user who does not exist has no memory of requests.
    let user = match &what {
        Wish::Follow(a, _) | Wish::Unfollow(a, _) | Wish::Post(a, _) | Wish::Delete(a, _) => *a,
    };
    if model.users.contains(&user) {
        model.requests.push(Request {
            id,
            what: what.clone(),
            outcome,
        });
    }
    let Ok(done) = done else { return };
    let seq = done.seq();
    assert!(
        model.applied.last().is_none_or(|last| *last < seq),
        "seqs go up"
    );
    model.applied.push(seq);
    match (what, done) {
        (Wish::Follow(a, b), _) => drop(model.follows.insert((a, b), seq)),
        (Wish::Unfollow(a, b), _) => drop(model.follows.remove(&(a, b))),
        (Wish::Delete(_, id), _) => {
            let post = model.posts.remove(&id).unwrap();
            model.deletions.push((seq, post));
        }
        (Wish::Post(a, text), Done::Post(post)) => {
            assert_eq!((post.author, post.text.as_str()), (a, text.as_str()));
            model.posts.insert(post.id, post);
        }
        (Wish::Post(..), Done::Seq(_)) => unreachable!(),
    }
}

fn name(number: usize) -> Username {
    Username::parse(NAMES[number % NAMES.len()]).unwrap()
}

/// All pages of a read, put together; every page but the last is full.
fn walk<T>(
    limit: usize,
    mut page: impl FnMut(&str) -> sns_core::Result<sns_core::Page<T>>,
) -> Result<Vec<T>, Reason> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let part = page(&cursor).map_err(|error| error.reason())?;
        assert!(part.items.len() <= limit);
        assert!(part.next.is_none() || part.items.len() == limit);
        all.extend(part.items);
        match part.next {
            Some(next) => cursor = next,
            None => return Ok(all),
        }
    }
}

fn check_step(model: &mut Model, bench: &mut Bench, step: Step) {
    match step {
        Step::Restart => bench.restart(),
        Step::LoseView => bench.lose_view(),
        step => check_call(model, bench.sns(), &step),
    }
}

fn check_call(model: &mut Model, sns: &Sns, step: &Step) {
    match *step {
        Step::Login(user) => {
            let made = sns.create_user(&name(user)).wait().unwrap();
            assert_eq!(made.created, model.users.insert(name(user)));
        }
        Step::Follow(a, b) => carry_out(model, sns, Wish::Follow(name(a), name(b))),
        Step::Unfollow(a, b) => carry_out(model, sns, Wish::Unfollow(name(a), name(b))),
        Step::Post(a, n) => {
            let text = format!("post {n} {}", "x".repeat(usize::from(n)));
            carry_out(model, sns, Wish::Post(name(a), text));
        }
        Step::Delete(a, n) => {
            let id = model
                .posts
                .keys()
                .nth(n % model.posts.len().max(1))
                .copied();
            carry_out(
                model,
                sns,
                Wish::Delete(name(a), id.unwrap_or(Seq::new(9, 9))),
            );
        }
        Step::Retry(n) if !model.requests.is_empty() => {
            let request = model.requests[n % model.requests.len()].clone();
            let again = wish(sns, request.id, &request.what).map(|done| done.seq().as_u64());
            assert_eq!(again, request.outcome, "a retry has the first outcome");
        }
        Step::Misuse(n) if !model.requests.is_empty() => {
            let request = model.requests[n % model.requests.len()].clone();
            let user = match request.what {
                Wish::Follow(a, _)
                | Wish::Unfollow(a, _)
                | Wish::Post(a, _)
                | Wish::Delete(a, _) => a,
            };
            let other = Wish::Post(user, "something else".into());
            assert_eq!(
                wish(sns, request.id, &other).err(),
                Some(Reason::RequestIdReused)
            );
        }
        Step::Retry(_) | Step::Misuse(_) => {}
        Step::Home {
            reader,
            limit,
            since_follow,
            exclude_own,
        } => {
            let reader = name(reader);
            let found = walk(limit, |cursor| {
                let home = sns.home(&reader).limit(limit).cursor(cursor);
                home.since_follow(since_follow)
                    .exclude_own(exclude_own)
                    .page()
            });
            let known = model.users.contains(&reader);
            let expected = model.home(reader, since_follow, exclude_own);
            assert_eq!(
                found,
                if known {
                    Ok(expected)
                } else {
                    Err(Reason::UserNotFound)
                }
            );
        }
        Step::Profile { user, limit } => {
            let user = name(user);
            let found = walk(limit, |cursor| {
                sns.posts_of(&user).limit(limit).cursor(cursor).page()
            });
            let own = model
                .posts
                .values()
                .rev()
                .filter(|post| post.author == user);
            let known = model.users.contains(&user);
            let expected = own.cloned().collect();
            assert_eq!(
                found,
                if known {
                    Ok(expected)
                } else {
                    Err(Reason::UserNotFound)
                }
            );
        }
        Step::Lists { user, limit } => check_lists(model, sns, name(user), limit),
        Step::Resume { reader, after } => check_resume(model, sns, name(reader), after),
        Step::Restart | Step::LoseView => unreachable!("they change the feed itself"),
    }
}

fn check_lists(model: &Model, sns: &Sns, user: Username, limit: usize) {
    let names = |found: Result<Vec<sns_core::User>, Reason>| {
        found.map(|users| {
            users
                .into_iter()
                .map(|user| user.username)
                .collect::<Vec<_>>()
        })
    };
    let all = names(walk(limit, |cursor| {
        sns.users().limit(limit).cursor(cursor).page()
    }));
    assert_eq!(all, Ok(model.users.iter().copied().collect()));
    let known = model.users.contains(&user);
    let of = |list: Vec<Username>| {
        if known {
            Ok(list)
        } else {
            Err(Reason::UserNotFound)
        }
    };
    let following = names(walk(limit, |cursor| {
        sns.following(&user).limit(limit).cursor(cursor).page()
    }));
    let follows = model.follows.keys();
    assert_eq!(
        following,
        of(follows
            .clone()
            .filter(|f| f.0 == user)
            .map(|f| f.1)
            .collect())
    );
    let followers = names(walk(limit, |cursor| {
        sns.followers(&user).limit(limit).cursor(cursor).page()
    }));
    assert_eq!(
        followers,
        of(follows.filter(|f| f.1 == user).map(|f| f.0).collect())
    );
}

/// A stream that resumes after some seq tells what was missed, in order, each once.
fn check_resume(model: &Model, sns: &Sns, reader: Username, after: usize) {
    if !model.users.contains(&reader) || model.applied.is_empty() {
        return;
    }
    let after = model.applied[after % model.applied.len()];
    let sources = model.sources(reader, false);
    let mut expected: Vec<(Seq, Seq, bool)> = model
        .posts
        .values()
        .filter(|post| post.id > after)
        .filter(|post| {
            sources
                .get(&post.author)
                .is_some_and(|since| post.id > *since)
        })
        .map(|post| (post.id, post.id, false))
        .collect();
    expected.extend(
        model
            .deletions
            .iter()
            .filter(|(seq, post)| *seq > after && sources.contains_key(&post.author))
            .map(|(seq, post)| (*seq, post.id, true)),
    );
    expected.sort_unstable();
    let options = Subscribe {
        after: Some(after),
        ..Subscribe::default()
    };
    let mut stream = sns.subscribe_with(&reader, options).unwrap();
    let mut found = Vec::new();
    loop {
        let event = stream.next_blocking().unwrap();
        match event.kind {
            EventKind::Post(post) => found.push((event.seq, post.id, false)),
            EventKind::Deleted(post) => found.push((event.seq, post, true)),
            EventKind::CaughtUp => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, expected, "{reader} after {after:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sns_does_what_the_model_does(steps in steps(), cache in prop_oneof![Just(20_000_usize), Just(64_000_000)]) {
        let mut bench = Bench::new(cache);
        let mut model = Model::default();
        for step in steps {
            check_step(&mut model, &mut bench, step);
        }
        // At the end, all of it once more after a restart, and the digest of a replica that
        // replays the whole log.
        bench.restart();
        for reader in NAMES.map(|name| Username::parse(name).unwrap()) {
            if model.users.contains(&reader) {
                let sns = bench.sns();
                let found = walk(7, |cursor| sns.home(&reader).limit(7).cursor(cursor).page());
                prop_assert_eq!(found, Ok(model.home(reader, false, false)));
                check_lists(&model, sns, reader, 2);
            }
        }
        let before = bench.sns().status();
        bench.lose_view();
        let after = bench.sns().status();
        prop_assert_eq!(before.digest, after.digest);
        prop_assert_eq!(after.posts, model.posts.len() as u64);
        prop_assert_eq!(after.follows, model.follows.len() as u64);
    }
}
