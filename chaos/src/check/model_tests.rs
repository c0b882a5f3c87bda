//! The rules of the model, each by a small log.

use super::*;
use crate::history::Act;

fn user(name: &str) -> Act {
    Act::CreateUser { user: name.into() }
}

fn follow(user: &str, followee: &str) -> Act {
    let (user, followee) = (user.into(), followee.into());
    Act::Follow { user, followee }
}

fn unfollow(user: &str, followee: &str) -> Act {
    let (user, followee) = (user.into(), followee.into());
    Act::Unfollow { user, followee }
}

fn post(user: &str, text: &str) -> Act {
    let (user, text) = (user.into(), text.into());
    Act::CreatePost { user, text }
}

fn delete(user: &str, id: u64) -> Act {
    let user = user.into();
    Act::DeletePost { user, id }
}

/// One entry a command; `(act, request id, seen)`.
fn log(acts: impl IntoIterator<Item = (Act, Option<u128>, u64)>) -> Vec<Command> {
    (1..)
        .zip(acts)
        .map(|(index, (act, id, seen))| Command {
            seq: index << 16,
            request_id: id.map(|id| format!("{id:032X}")),
            seen,
            act,
        })
        .collect()
}

fn effects(acts: impl IntoIterator<Item = Act>) -> Vec<Effect> {
    Model::fold(&log(acts.into_iter().map(|act| (act, None, 0)))).effects
}

#[test]
fn conflicts_are_refused_and_change_nothing() {
    let found = effects([
        post("a", "x"),
        user("a"),
        user("a"),
        follow("a", "a"),
        follow("a", "b"),
        unfollow("a", "b"),
        user("b"),
        unfollow("a", "b"),
        follow("a", "b"),
        follow("a", "b"),
        unfollow("a", "b"),
        follow("a", "b"),
        Act::Checkpoint,
    ]);
    let refused = Effect::Refused;
    assert_eq!(
        found,
        [
            refused(Reason::UserNotFound),
            Effect::Done,
            Effect::Nothing,
            refused(Reason::SelfFollow),
            refused(Reason::UserNotFound),
            refused(Reason::UserNotFound),
            Effect::Done,
            refused(Reason::NotFollowing),
            Effect::Done,
            refused(Reason::AlreadyFollowing),
            Effect::Done,
            Effect::Done,
            Effect::Nothing,
        ]
    );
}

#[test]
fn only_the_author_deletes_a_post_and_only_once() {
    let found = effects([
        user("a"),
        user("b"),
        post("a", "x"),
        delete("b", 3 << 16),
        delete("a", 2 << 16),
        delete("a", 3 << 16),
        delete("a", 3 << 16),
    ]);
    let missing = Effect::Refused(Reason::PostNotFound);
    assert_eq!(found[3..], [missing, missing, Effect::Done, missing]);
}

#[test]
fn a_request_takes_effect_once_and_its_refusal_is_remembered() {
    let acts = [
        (user("a"), None, 0),
        (user("b"), None, 0),
        (post("a", "x"), Some(1), 0),
        (post("a", "x"), Some(1), 0),
        (post("a", "y"), Some(1), 0),
        (post("b", "x"), Some(1), 0),
        (unfollow("a", "b"), Some(2), 0),
        (follow("a", "b"), Some(3), 0),
        (unfollow("a", "b"), Some(2), 0),
    ];
    let log = log(acts);
    let model = Model::fold(&log);
    assert_eq!(
        model.effects[2..],
        [
            Effect::Done,
            Effect::Repeated,
            Effect::Refused(Reason::RequestIdReused),
            Effect::Done,
            Effect::Refused(Reason::NotFollowing),
            Effect::Done,
            Effect::Repeated,
        ]
    );
    assert_eq!(model.posts.len(), 2);
}

#[test]
fn an_id_is_the_same_in_any_case_and_form() {
    let one = request_number("0188b2a4-00ff-7abc-8def-0123456789ab");
    assert_eq!(one, request_number("0188B2A400FF7ABC8DEF0123456789AB"));
    assert_ne!(one, request_number("no uuid"));
}

#[test]
fn what_was_seen_before_the_oldest_remembered_request_is_expired() {
    let mut requests = Requests::default();
    for number in 0..=REQUESTS {
        let seq = (number as u64 + 1) << 16;
        requests.remember(0, number as u128, number, seq);
    }
    // The first is forgotten, so that the second is the oldest.
    assert_eq!(requests.since, 2 << 16);
    assert!(!requests.by_id.contains_key(&(0, 0)));
    assert_eq!(requests.by_id.len(), REQUESTS);
}

#[test]
fn a_page_is_that_of_its_state() {
    let acts = [
        user("a"),
        user("b"),
        user("c"),
        post("b", "one"),
        follow("a", "b"),
        post("c", "no"),
        post("a", "own"),
        delete("b", 4 << 16),
        post("b", "two"),
        unfollow("a", "b"),
    ];
    let log = log(acts.map(|act| (act, None, 0)));
    let model = Model::fold(&log);
    let page = |range: (u64, u64), at: u64| {
        let mut found = Vec::new();
        let range = (range.0 << 16, range.1 << 16);
        model.page(0, None, range, at << 16, &mut found);
        let texts = found.iter().map(|place| model.posts[*place as usize].text);
        texts.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page((0, 99), 4), "");
    assert_eq!(page((0, 99), 7), "own one");
    assert_eq!(page((0, 99), 8), "own");
    assert_eq!(page((0, 99), 9), "two own");
    assert_eq!(page((0, 9), 9), "own");
    assert_eq!(page((0, 99), 10), "own");
}
