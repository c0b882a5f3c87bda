//! The examples do what they say: the real binaries, run and killed.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/example.rs"]
mod example;

use example::{Running, run};
use sns_core::{ErrorKind, Sns};

#[test]
fn hello_feed_shows_a_page_and_a_live_post_and_leaves_nothing_behind() {
    let ended = run("hello_feed", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let page = "newest first:\n  bob: hello number 3\n  bob: hello number 2\n";
    assert!(ended.stdout.contains(page), "{}", ended.stdout);
    let live: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|l| l.starts_with("live: "))
        .collect();
    assert_eq!(live.len(), 2, "{live:?}");
    assert_eq!(live[0], "live: bob: this one comes live");
    assert!(live[1].ends_with("is gone"));
}

#[test]
fn hello_feed_on_a_directory_finds_what_it_posted_the_last_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert!(
        run("hello_feed", &[path])
            .stdout
            .contains("alice follows bob since ")
    );
    let again = run("hello_feed", &[path]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stdout.contains("you follow bob already"));
    let sns = Sns::open(path).unwrap();
    let bob = sns.user("bob").unwrap();
    // Three posts of each run; the live one was deleted.
    assert_eq!(sns.posts_of(&bob).page().unwrap().items.len(), 6);
}

#[test]
fn two_processes_loses_nothing_and_repeats_nothing_when_one_is_killed() {
    let ended = run("two_processes", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|l| l.contains("killed"))
        .collect();
    assert_eq!(said.len(), 2, "{}", ended.stdout);
    for line in said {
        assert!(line.contains(" 0 lost, 0 there twice; "), "{line}");
        let told = line
            .split_once("killed: ")
            .unwrap()
            .1
            .split(' ')
            .next()
            .unwrap();
        assert!(
            told.parse::<u32>().unwrap() >= 10,
            "too little happened: {line}"
        );
    }
    // The second life went on where the first was killed.
    assert!(
        ended.stdout.contains("alice reads: bob says 1\n"),
        "{}",
        ended.stdout
    );
    let pids = ended
        .stdout
        .lines()
        .filter(|l| l.starts_with("bob is process "));
    let pids: std::collections::HashSet<&str> = pids.collect();
    assert_eq!(pids.len(), 2);
}

#[test]
fn one_directory_is_open_in_two_programs_but_one_node_in_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let cursor = dir.path().with_extension("cursor");
    let arguments = [path, cursor.to_str().unwrap(), "alice"];
    let bot = Running::start("bot", &arguments);
    assert_eq!(bot.line().unwrap(), "following 1 users");
    // This program beside it, on the same directory.
    let sns = Sns::open(path).unwrap();
    let alice = sns.user("alice").unwrap();
    let post = sns.post(&alice, "anybody there?").wait().unwrap();
    assert!(
        bot.line()
            .unwrap()
            .starts_with(&format!("answered {} with ", post.id))
    );
    // A second bot would be the same node.
    let second = run("bot", &arguments);
    assert_eq!(second.code, Some(2));
    let name = format!(
        "the node bot-echo of {}",
        std::fs::canonicalize(path).unwrap().display()
    );
    assert!(second.stderr.contains(&name), "{}", second.stderr);
    let refused = Sns::builder(path).node("bot-echo").open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    // The kernel gives the node back, whatever the bot was doing.
    drop(bot);
    drop(Sns::builder(path).node("bot-echo").open().unwrap());
    std::fs::remove_file(cursor).unwrap();
}

#[test]
fn bulk_load_keeps_all_that_it_counts_also_two_at_once_and_past_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    // A window over the bound of the queue: refusals are waited out, not lost.
    let loads: Vec<_> = ["20000", "100"]
        .map(|window| {
            let path = path.to_owned();
            std::thread::spawn(move || {
                run(
                    "bulk_load",
                    &[&path, "--posts", "30000", "--window", window],
                )
            })
        })
        .into_iter()
        .map(|load| load.join().unwrap())
        .collect();
    for load in &loads {
        assert_eq!(load.code, Some(0), "{}", load.stderr);
        assert!(load.stdout.contains("30000 posts in "), "{}", load.stdout);
    }
    let sns = Sns::open(path).unwrap();
    assert_eq!((sns.status().posts, sns.status().users), (60_000, 1_000));
    // Whoever ended last had seen all of it.
    let digest = format!("60000 posts are there, digest {}", sns.status().digest);
    assert!(loads.iter().any(|load| load.stdout.contains(&digest)));
}

#[test]
fn bulk_load_says_how_to_call_it() {
    for arguments in [
        &[][..],
        &["--posts", "3"],
        &["x", "--posts"],
        &["x", "--window", "0"],
    ] {
        let ended = run("bulk_load", arguments);
        assert_eq!(ended.code, Some(2));
        assert!(
            ended.stderr.starts_with("bulk_load: usage: "),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn own_clock_gives_the_same_three_weeks_in_every_process() {
    let (one, two) = (run("own_clock", &[]), run("own_clock", &[]));
    assert_eq!(one.code, Some(0), "{}", one.stderr);
    assert!(
        one.stdout
            .contains("week 3: 2 posts, the first: bob: week 3, day 3")
    );
    assert_eq!(one.stdout, two.stdout, "down to the digest");
}
