//! The bot of the examples answers each post exactly once, whatever moment it is killed in.
//!
//! `SNS_BOT_KILLS=100` kills it so often (7 without it); the figures are printed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/draw.rs"]
mod draw;
#[path = "support/example.rs"]
mod example;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use draw::Draw;
use example::{PATIENCE, Running, run};
use sns_core::{Post, Seq, Sns, Username};

/// A directory with a feed, and beside it the file of the bot's cursor.
struct Place {
    dir: tempfile::TempDir,
    sns: Sns,
    alice: Username,
    echo: Username,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sns = Sns::open(dir.path().join("feed")).unwrap();
        let (alice, echo) = (sns.user("alice").unwrap(), sns.user("echo").unwrap());
        sns.follow(&echo, &alice).wait().unwrap();
        Self {
            dir,
            sns,
            alice,
            echo,
        }
    }

    fn arguments(&self) -> [String; 3] {
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        [path("feed"), path("cursor"), "alice".into()]
    }

    fn start(&self) -> Running {
        let arguments = self.arguments();
        Running::start("bot", &arguments.each_ref().map(String::as_str))
    }

    fn post(&self, n: usize) -> Post {
        self.sns
            .post(&self.alice, &format!("question {n}"))
            .wait()
            .unwrap()
    }

    fn cursor_file(&self) -> std::path::PathBuf {
        self.dir.path().join("cursor")
    }

    /// What the file says; nothing yet = from the start.
    fn cursor(&self) -> Seq {
        let text = std::fs::read_to_string(self.cursor_file()).unwrap_or_default();
        let at = text
            .split_whitespace()
            .nth(1)
            .map_or(0, |at| at.parse().unwrap());
        Seq::from_u64(at)
    }

    /// All posts of a user, oldest first.
    fn all(&self, user: &Username) -> Vec<Post> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.sns.posts_of(user).limit(200).cursor(&cursor);
            let page = page.linearizable(true).page().unwrap();
            all.extend(page.items);
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        all.reverse();
        all
    }

    /// Which posts the answers that are there are to, in their order.
    fn answered(&self) -> Vec<Seq> {
        let answers = self.all(&self.echo);
        let to = answers.iter().map(|answer| {
            let text = answer.text.as_str().strip_prefix("re ").unwrap();
            Seq::from_u64(text.split_once(':').unwrap().0.parse().unwrap())
        });
        to.collect()
    }

    /// Runs a bot until the cursor stands at the last post; it is then killed.
    fn finish(&self, last: Seq) {
        let _bot = self.start();
        let deadline = Instant::now() + PATIENCE;
        while self.cursor() < last {
            assert!(Instant::now() < deadline, "{} of {last}", self.cursor());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Each post has one answer, and the answers come in the order of the posts.
    fn check(&self) -> usize {
        let posts: Vec<Seq> = self.all(&self.alice).iter().map(|post| post.id).collect();
        let answered = self.answered();
        let mut counts: HashMap<Seq, usize> = HashMap::new();
        for post in &answered {
            *counts.entry(*post).or_default() += 1;
        }
        let none: Vec<_> = posts.iter().filter(|p| !counts.contains_key(p)).collect();
        let twice: Vec<_> = counts.iter().filter(|(_, n)| **n != 1).collect();
        assert!(
            none.is_empty() && twice.is_empty(),
            "none: {none:?}, twice: {twice:?}"
        );
        assert_eq!(answered, posts, "in another order");
        posts.len()
    }
}

#[test]
fn a_bot_that_is_killed_again_and_again_answers_each_post_exactly_once() {
    let kills: usize = std::env::var("SNS_BOT_KILLS").map_or(7, |n| n.parse().unwrap());
    let mut draw = Draw::new();
    let place = Place::new();
    let (mut made, mut last) = (0, Seq::ZERO);
    let (mut before_a_word, mut between) = (0, 0);
    for _ in 0..kills {
        let mut bot = place.start();
        // Some die while they open, most in the midst of answering.
        let opens = draw.below(8) == 0;
        if !opens {
            bot.line().unwrap();
        }
        let lives = Instant::now() + Duration::from_micros(draw.below(40_000));
        while Instant::now() < lives {
            last = place.post(made).id;
            made += 1;
        }
        bot.kill();
        before_a_word += usize::from(opens);
        // Killed between the answer and the note of it: the next one answers that post again.
        let newest = place.answered().last().copied();
        between += usize::from(newest.is_some_and(|newest| newest > place.cursor()));
    }
    if made == 0 {
        last = place.post(made).id;
    }
    place.finish(last);
    let posts = place.check();
    println!(
        "{kills} kills ({before_a_word} while it opened, {between} between an answer and its \
         cursor), {posts} posts, {posts} answers, each exactly once"
    );
    // With a hundred of them, some must have come at the moment that it is all about.
    assert!(kills < 100 || between > 0, "the window was never hit");
}

#[test]
fn a_cursor_that_is_lost_or_old_repeats_no_answer() {
    let place = Place::new();
    let posts: Vec<Post> = (0..20).map(|n| place.post(n)).collect();
    place.finish(posts[9].id);
    let old = std::fs::read(place.cursor_file()).unwrap();
    place.finish(posts[19].id);
    assert_eq!(place.check(), 20);
    std::fs::write(place.cursor_file(), old).unwrap();
    place.finish(posts[19].id);
    assert_eq!(place.check(), 20);
    std::fs::remove_file(place.cursor_file()).unwrap();
    place.finish(posts[19].id);
    assert_eq!(place.check(), 20);
}

#[test]
fn a_cursor_of_another_feed_or_of_the_future_and_garbage_are_refused() {
    let place = Place::new();
    let last = place.post(0).id;
    place.finish(last);
    let good = std::fs::read_to_string(place.cursor_file()).unwrap();
    let (log, _) = good.split_once(' ').unwrap();
    let refused = |text: &str, why: &str| {
        std::fs::write(place.cursor_file(), text).unwrap();
        let ended = run("bot", &place.arguments().each_ref().map(String::as_str));
        assert_eq!(ended.code, Some(2), "{text}");
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    };
    refused(&format!("{log} {}\n", u64::MAX), "of a later state");
    refused(&format!("{:032x} 65536\n", 7), "of another feed");
    for garbage in ["", "x", "1 2 3\n", &good[..20]] {
        refused(garbage, "holds no cursor");
    }
    assert!(Path::new(&place.arguments()[1]).exists());
}

/// Over a million requests pass between a post and its answer: nothing is remembered, so the bot is
/// refused and looks. Takes a minute: `SNS_BOT_FAR_BEHIND=1`.
#[test]
fn a_bot_that_comes_a_million_requests_late_looks_before_it_answers() {
    if std::env::var_os("SNS_BOT_FAR_BEHIND").is_none() {
        println!("SKIPPED: a million requests take a while; SNS_BOT_FAR_BEHIND=1 makes them");
        return;
    }
    let place = Place::new();
    let answered = place.post(0).id;
    place.finish(answered);
    let not_answered = place.post(1).id;
    let noise = place.sns.user("noise").unwrap();
    let mut under_way = std::collections::VecDeque::new();
    for n in 0..1_000_001 {
        if under_way.len() == 8_192 {
            let oldest: sns_core::Pending<Post> = under_way.pop_front().unwrap();
            oldest.wait().unwrap();
        }
        under_way.push_back(place.sns.post(&noise, &format!("{n}")));
    }
    for post in under_way {
        post.wait().unwrap();
    }
    // Without the file it is told of both posts again, and remembers neither.
    std::fs::remove_file(place.cursor_file()).unwrap();
    place.finish(not_answered);
    assert_eq!(place.check(), 2);
    println!("1,000,001 requests later: 2 posts, 2 answers");
}
