//! Listings, page by page and as streams.

use futures_util::TryStreamExt as _;
use sns_client::{ErrorKind, Reason};

use crate::fake::{Fault, Node, Setup};

#[tokio::test]
async fn a_stream_gives_every_item_of_all_pages_once() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let names = (0..450).map(|n| format!("user{n:03}"));
    setup.world.history().users.extend(names);
    // A page that fails is read elsewhere.
    setup.nodes[0].fail(&[Fault::None, Fault::LoseCall]);
    let users: Vec<_> = alice.users().stream().try_collect().await.expect("read");
    assert_eq!(users.len(), 451);
    assert!(users.is_sorted_by(|a, b| a.username < b.username));
    let pages = setup.nodes.iter().flat_map(Node::saw);
    assert_eq!(pages.count(), 4, "three pages, one of them twice");
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    for n in 0..50 {
        setup.world.post("", "bob", &n.to_string());
    }
    let first = alice.home().page().await.expect("read");
    assert_eq!(first.items.len(), 20);
    assert_eq!(first.items[0].text, "49");
    let second = alice
        .home()
        .limit(200)
        .cursor(first.next.expect("more"))
        .page()
        .await
        .expect("read");
    assert_eq!(second.items.len(), 30);
    assert!(second.next.is_none());
    let bob: Vec<_> = alice
        .posts_of("bob")
        .stream()
        .try_collect()
        .await
        .expect("read");
    assert_eq!(bob.len(), 50);
}

#[tokio::test]
async fn a_stream_ends_with_its_first_error() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    setup.nodes[0].fail(&[Fault::Refuse(Reason::UserNotFound)]);
    let all: Result<Vec<_>, _> = alice.followers("nobody").stream().try_collect().await;
    assert_eq!(all.expect_err("refused").kind(), ErrorKind::NotFound);
}
