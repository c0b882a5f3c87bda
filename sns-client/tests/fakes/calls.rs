//! Calls: what is sent again, where to, and what the caller is told.

use std::time::Duration;

use sns_client::{ErrorKind, Options, Reason};

use crate::fake::{Fault, Router, Setup, timed, wait_until};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_sent_again_with_the_same_request_id() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    alice.post("first").await.expect("posted");
    let [a, b] = &setup.nodes[..] else { panic!() };
    a.saw();
    a.fail(&[Fault::LoseAnswer]);
    let post = alice.post("second").await.expect("posted");
    let (first, second) = (a.saw(), b.saw());
    assert_eq!(first.len(), 1);
    assert_eq!(first, second, "the same request id and the same `seen`");
    assert!(first[0].seq < post.id.get() && first[0].seq > 0);
    assert_eq!(setup.world.texts(), ["first", "second"]);
}

#[tokio::test]
async fn seen_stays_as_it_was_before_the_first_try() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let [a, b] = &setup.nodes[..] else { panic!() };
    let before = alice.seen();
    a.fail(&[Fault::Hang]);
    let posting = tokio::spawn(alice.post("x").into_future());
    let mut first = Vec::new();
    wait_until("the first try has come", || {
        first.extend(a.saw());
        !first.is_empty()
    })
    .await;
    // Meanwhile the handle sees something newer.
    let newer = setup.world.post("", "bob", "meanwhile");
    alice.home().page().await.expect("read");
    assert_eq!(alice.seen().get(), newer.id);
    posting.await.expect("joined").expect("posted");
    let mut second = b.saw();
    second.retain(|saw| saw.method == "create_post");
    assert_eq!(first, second);
    assert_eq!(first[0].seq, before.get());
}

#[tokio::test]
async fn the_death_of_the_master_costs_no_call() {
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    // The connection to the slave stands before it is needed.
    alice.post("before").await.expect("posted");
    setup.nodes[0].wire.cut().await;
    let (posted, took) = timed(alice.post("after")).await;
    posted.expect("posted");
    assert!(took < SECOND / 2, "{took:?}");
    let (page, took) = timed(alice.home().page()).await;
    assert_eq!(page.expect("read").items.len(), 2);
    assert!(took < SECOND / 2, "{took:?}");
}

#[tokio::test]
async fn a_master_that_hangs_is_left_after_one_try() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    alice.post("before").await.expect("posted");
    setup.nodes[0].wire.freeze();
    let (posted, took) = timed(alice.post("after")).await;
    posted.expect("posted");
    assert!(took >= SECOND && took < 2 * SECOND, "{took:?}");
    // Now it is known.
    for _ in 0..5 {
        let (posted, took) = timed(alice.post("more")).await;
        posted.expect("posted");
        assert!(took < SECOND / 2, "{took:?}");
    }
    setup.nodes[0].wire.thaw();
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_server_that_hangs() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    alice.post("before").await.expect("posted");
    setup.nodes[0].wire.freeze();
    let (page, took) = timed(alice.home().page()).await;
    assert_eq!(page.expect("read").items.len(), 1);
    assert!(took < SECOND, "{took:?}");
    // The server that answered is the one to write to.
    let (posted, took) = timed(alice.post("after")).await;
    posted.expect("posted");
    assert!(took < SECOND / 2, "{took:?}");
}

#[tokio::test]
async fn a_server_that_failed_is_shunned_for_a_second() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let [a, b] = &setup.nodes[..] else { panic!() };
    a.fail(&[Fault::Refuse(Reason::ShuttingDown)]);
    for _ in 0..20 {
        alice.post("x").await.expect("posted");
    }
    assert_eq!(a.saw().len(), 1);
    assert_eq!(b.saw().len(), 20);
}

#[tokio::test]
async fn when_both_servers_are_gone_the_router_names_others() {
    let mut setup = Setup::of(4).await;
    let alice = setup.connect().await;
    setup.nodes[0].wire.cut().await;
    setup.nodes[1].wire.cut().await;
    let named: Vec<_> = setup.nodes[2..].iter().collect();
    setup.router.name(&named);
    let (posted, took) = timed(alice.post("x")).await;
    posted.expect("posted");
    assert!(took < SECOND, "{took:?}");
    assert_eq!(alice.addresses()[0], setup.nodes[2].address());
}

#[tokio::test]
async fn without_a_router_the_known_servers_do() {
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    setup.router.wire.cut().await;
    setup.nodes[0].wire.cut().await;
    alice.post("on the slave").await.expect("posted");
    setup.nodes[0].wire.mend().await;
    setup.nodes[1].wire.cut().await;
    alice.post("on the master").await.expect("posted");
    let page = alice.home().page().await.expect("read");
    assert_eq!(page.items.len(), 2);
}

#[tokio::test]
async fn a_server_that_comes_back_at_its_address_is_found_again() {
    let mut setup = Setup::of(1).await;
    let alice = setup.connect().await;
    setup.nodes[0].wire.cut().await;
    let posting = {
        let alice = alice.clone();
        tokio::spawn(async move { alice.post("x").await })
    };
    tokio::time::sleep(SECOND / 2).await;
    setup.nodes[0].wire.mend().await;
    let (posted, took) = timed(posting).await;
    posted.expect("joined").expect("posted");
    assert!(took < 2 * SECOND, "{took:?}");
}

#[tokio::test]
async fn any_one_of_several_routers_will_do() {
    let setup = Setup::of(2).await;
    let mut dead = Router::start().await;
    dead.wire.cut().await;
    let hung = Router::start().await;
    hung.wire.freeze();
    let routers = [dead.address(), hung.address(), setup.router.address()];
    let options = Options::new("alice").routers(routers);
    let (alice, took) = timed(options.connect()).await;
    let alice = alice.expect("connected");
    assert!(took < SECOND, "{took:?}");
    assert_eq!(alice.addresses().len(), 2);
    assert_eq!(alice.servers().await.expect("listed").len(), 2);
}

#[tokio::test]
async fn an_expired_first_try_goes_anew_with_a_new_id_and_a_newer_seq() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    let a = &setup.nodes[0];
    // The world moves on without alice.
    setup.world.post("", "bob", "meanwhile");
    let tail = setup.world.history().tail();
    a.fail(&[Fault::Refuse(Reason::RequestExpired)]);
    alice.post("late").await.expect("posted");
    let saw = a.saw();
    let writes: Vec<_> = saw.iter().filter(|s| s.method == "create_post").collect();
    assert_eq!(writes.len(), 2);
    assert_ne!(writes[0].request_id, writes[1].request_id);
    assert!(writes[0].seq < tail && writes[1].seq >= tail, "{writes:?}");
}

#[tokio::test]
async fn an_expired_retry_ends_as_unknown_with_the_ticket_that_repeats_it() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let [a, b] = &setup.nodes[..] else { panic!() };
    a.fail(&[Fault::LoseAnswer]);
    b.fail(&[Fault::Refuse(Reason::RequestExpired)]);
    let error = alice.post("once").await.expect_err("nobody can tell");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    let ticket = error.ticket().expect("a write");
    let post = alice.post("once").ticket(ticket).await.expect("told now");
    assert_eq!(post.text, "once");
    assert_eq!(setup.world.texts(), ["once"]);
}

#[tokio::test]
async fn a_write_that_may_have_left_ends_as_unknown_and_one_that_did_not_as_unavailable() {
    let mut setup = Setup::of(2).await;
    let options = setup.options().deadline(SECOND);
    let alice = options.connect().await.expect("connected");
    for node in &mut setup.nodes {
        node.wire.cut().await;
    }
    let (refused, took) = timed(alice.follow("bob")).await;
    let error = refused.expect_err("nobody there");
    // The first try may have met a connection that was about to break.
    assert!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown),
        "{error:?}"
    );
    assert!(took >= SECOND && took < 3 * SECOND / 2, "{took:?}");
    let error = alice.follow("bob").await.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.ticket().is_none());
    for node in &mut setup.nodes {
        node.wire.mend().await;
        node.wire.freeze();
    }
    let error = alice.follow("bob").await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    let error = alice.home().page().await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn without_any_server_connect_fails_by_the_deadline() {
    let mut setup = Setup::of(0).await;
    let options = setup.options().deadline(SECOND / 2);
    let (refused, took) = timed(options.clone().connect()).await;
    let error = refused.expect_err("no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.reason(), Reason::NoServer);
    assert!(took < SECOND, "{took:?}");
    setup.router.wire.cut().await;
    let error = options.connect().await.expect_err("no router");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_full_queue_is_waited_for_until_the_deadline() {
    let setup = Setup::of(2).await;
    let options = setup.options().deadline(SECOND);
    let alice = options.connect().await.expect("connected");
    setup.nodes[0].fail(&[Fault::Refuse(Reason::Overloaded); 3]);
    let (posted, took) = timed(alice.post("x")).await;
    posted.expect("posted");
    assert!(took >= Duration::from_millis(300), "{took:?}");
    setup.nodes[0].fail(&[Fault::Refuse(Reason::DiskFull); 10]);
    let error = alice.post("y").await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(error.reason(), Reason::DiskFull);
}

#[tokio::test]
async fn refusals_are_told_at_once_and_never_repeated() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let a = &setup.nodes[0];
    for (why, kind) in [
        (Reason::AlreadyFollowing, ErrorKind::Conflict),
        (Reason::UserNotFound, ErrorKind::NotFound),
        (Reason::SelfFollow, ErrorKind::Invalid),
        (Reason::TooManyFollowees, ErrorKind::Exhausted),
    ] {
        a.fail(&[Fault::Refuse(why)]);
        let error = alice.follow("bob").await.expect_err("refused");
        assert_eq!((error.kind(), error.reason()), (kind, why));
        assert_eq!(a.saw().len(), 1);
    }
    // What would not fit into a message is not sent.
    let error = alice.post("x".repeat(70_000)).await.expect_err("too long");
    assert_eq!(error.reason(), Reason::TextInvalid);
    let error = alice.follow("x".repeat(70_000)).await.expect_err("no name");
    assert_eq!(error.reason(), Reason::UsernameInvalid);
    assert_eq!(a.saw(), []);
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_renewed() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    let a = &setup.nodes[0];
    a.fail(&[Fault::Refuse(Reason::TokenInvalid)]);
    assert_eq!(a.logins(), 1);
    alice.post("x").await.expect("posted");
    a.fail(&[Fault::Refuse(Reason::TokenInvalid); 2]);
    let error = alice.post("y").await.expect_err("refused again");
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn reads_ask_for_what_the_handle_and_its_clones_have_seen() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    let post = alice.clone().post("x").await.expect("posted");
    setup.nodes[0].saw();
    alice.home().page().await.expect("read");
    alice.users().page().await.expect("read");
    for saw in setup.nodes[0].saw() {
        assert_eq!(saw.seq, post.id.get(), "{}", saw.method);
    }
    assert_eq!(alice.seen(), post.id);
}

#[tokio::test]
async fn calls_of_many_tasks_survive_servers_that_die_in_turn() {
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let alice = alice.clone();
        tasks.spawn(async move {
            for n in 0..60 {
                let text = format!("{task}-{n}");
                let post = alice.post(text.as_str()).await.expect("posted");
                assert_eq!(post.text, text);
            }
        });
    }
    for turn in 0..6 {
        let before = setup.world.texts().len();
        wait_until("some posts were made", || {
            setup.world.texts().len() >= (before + 20).min(480)
        })
        .await;
        let wire = &mut setup.nodes[turn % 2].wire;
        wire.cut().await;
        wire.mend().await;
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("every call succeeded");
    }
    let mut texts = setup.world.texts();
    assert_eq!(texts.len(), 480, "each post has one effect");
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 480);
}
