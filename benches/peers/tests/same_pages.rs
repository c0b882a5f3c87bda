//! All systems show the same pages: else their speeds could not be compared.
//!
//! Runs against real servers and skips loudly where one is not installed; with
//! `SNS_PEERS_REQUIRED=1` it fails instead.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::path::{Path, PathBuf};

use sns_load::{Graph, Mix, Op};
use sns_peers::feed::{Feed, PAGE, Post};
use sns_peers::pull::{PostgresServer, Pull, Query};
use sns_peers::retwis::server::Fsync;
use sns_peers::retwis::{HomeWay, PostWay, RedisServer, Retwis, Ways};
use sns_peers::sns::{SnsFeed, SnsServer, Spread};
use tempfile::TempDir;

const SEED: u64 = 7;
const POSTS: u64 = 600;

fn graph() -> Graph {
    Graph::synthetic(60, 7, SEED)
}

/// Author and text of the posts of a page.
type Page = Vec<(u32, String)>;

/// What a page has to show, from the definition alone.
fn expected(graph: &Graph, posts: &[(u32, String)], user: u32, home: bool) -> Page {
    let shown =
        |author: u32| author == user || (home && graph.followees(user).any(|f| f == author));
    let page = posts.iter().rev().filter(|post| shown(post.0));
    page.take(PAGE).cloned().collect()
}

/// Posts one by one, so that there is one right order; the last users never post.
async fn fill(feed: &impl Feed, graph: &Graph) -> Vec<(u32, String)> {
    let mut posts = Vec::new();
    for index in 0..POSTS {
        let Op::Post { user, text } = Mix::Post.op(SEED, index, graph.users - 5) else {
            panic!("only posts");
        };
        feed.post(user, &text).await.unwrap();
        posts.push((user, text));
    }
    posts
}

fn page(posts: Vec<Post>) -> Page {
    assert!(posts.is_sorted_by(|newer, older| newer.id > older.id));
    let post = |post: Post| (post.author, post.text);
    posts.into_iter().map(post).collect()
}

async fn check(feed: &impl Feed, graph: &Graph, posts: &[(u32, String)], what: &str) {
    for user in 0..graph.users {
        let home = page(feed.home(user).await.unwrap());
        assert_eq!(
            home,
            expected(graph, posts, user, true),
            "{what}: home of {user}"
        );
        let own = page(feed.user_page(user).await.unwrap());
        assert_eq!(
            own,
            expected(graph, posts, user, false),
            "{what}: page of {user}"
        );
    }
}

fn directory() -> TempDir {
    sns_peers::systems::directory(&std::env::temp_dir()).unwrap()
}

/// The server, or `None`, loudly, where it is not installed.
fn installed<T>(started: sns_peers::Result<T>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(why) if why.to_string().contains("is not installed") => {
            let required = std::env::var_os("SNS_PEERS_REQUIRED").is_some();
            assert!(!required, "{why}");
            eprintln!("SKIPPED: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn redis_shows_the_right_pages_in_every_way_of_reading_and_posting() {
    for post in [PostWay::Script, PostWay::Pipeline] {
        let dir = directory();
        let started = RedisServer::start(dir.path(), Fsync::Everysec).await;
        let Some(server) = installed(started) else {
            return;
        };
        let graph = graph();
        let ways = Ways {
            post,
            ..Ways::default()
        };
        let client = Retwis::connect(&server, ways).await.unwrap().remove(0);
        client.load(&graph.follows).await.unwrap();
        let posts = fill(&client, &graph).await;
        for home in [HomeWay::Sort, HomeWay::Script, HomeWay::TwoTrips] {
            let ways = Ways { home, ..ways };
            let client = Retwis::connect(&server, ways).await.unwrap().remove(0);
            check(&client, &graph, &posts, &format!("{ways:?}")).await;
        }
        // Doing it twice changes nothing.
        let (user, followee) = graph.follows[0];
        client.follow(user, followee).await.unwrap();
        client.post(followee, "once").await.unwrap();
        let shown = client.home(user).await.unwrap();
        assert_eq!(shown.iter().filter(|post| post.text == "once").count(), 1);
        server.stop().unwrap();
    }
}

#[tokio::test]
async fn postgres_shows_the_right_pages_with_every_query() {
    let dir = directory();
    let Some(server) = installed(PostgresServer::start(dir.path()).await) else {
        return;
    };
    let graph = graph();
    Pull::load(&server, &graph.names, &graph.follows)
        .await
        .unwrap();
    let connect = async |query| {
        Pull::connect(&server, false, query, 1)
            .await
            .unwrap()
            .remove(0)
    };
    let client = connect(Query::default()).await;
    let posts = fill(&client, &graph).await;
    for query in Query::ALL {
        check(&connect(query).await, &graph, &posts, &format!("{query:?}")).await;
    }
    let (user, followee) = graph.follows[0];
    client.follow(user, followee).await.unwrap();
    client.post(followee, "once").await.unwrap();
    let shown = client.home(user).await.unwrap();
    assert_eq!(shown.iter().filter(|post| post.text == "once").count(), 1);
    server.stop().unwrap();
}

#[tokio::test]
async fn the_home_page_of_postgres_reads_ids_from_the_index_alone() {
    let dir = directory();
    let Some(server) = installed(PostgresServer::start(dir.path()).await) else {
        return;
    };
    let graph = graph();
    Pull::load(&server, &graph.names, &graph.follows)
        .await
        .unwrap();
    let mut clients = Pull::connect(&server, false, Query::default(), 1)
        .await
        .unwrap();
    fill(&clients.remove(0), &graph).await;
    Pull::settle(&server).await.unwrap();
    let plan = Pull::explain(&server, Query::default(), 0).await.unwrap();
    assert!(
        plan.contains("Index Only Scan using posts_author"),
        "{plan}"
    );
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

/// Beside this test in the target directory, where `cargo build -p sns-server` puts it.
fn sns_server() -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(Path::parent)?.join("sns-server");
    program.is_file().then_some(program)
}

#[tokio::test]
async fn sns_shows_the_right_pages() {
    let Some(program) = sns_server() else {
        let why = "sns-server is not built: cargo build -p sns-server";
        assert!(std::env::var_os("SNS_PEERS_REQUIRED").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        return;
    };
    let dir = directory();
    let server = SnsServer::start(&program, dir.path(), 1).await.unwrap();
    let graph = graph();
    server.load(&graph).await.unwrap();
    let spread = Spread {
        sockets: 1,
        ..Spread::default()
    };
    let mut clients = SnsFeed::connect(server.router(), &graph, spread)
        .await
        .unwrap();
    let client = clients.remove(0);
    let posts = fill(&client, &graph).await;
    check(&client, &graph, &posts, "sns").await;
    let (user, followee) = graph.follows[0];
    client.follow(user, followee).await.unwrap();
    server.stop().unwrap();
}
