//! Feeds to back up, load on them, and how two feeds are compared to the last post.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sns_core::log::Log as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::log::memory::MemoryLog;
use sns_core::{Page, PasswordHash, Post, Sns, Username};
use sns_proto::v1::CreatePostRequest;

use crate::server::{Caller, Server};

/// Users, accounts, follows and unfollows, odd texts, deletions, a list of chunks.
pub fn fill(sns: &Sns, posts: usize) {
    let names = [
        "alice",
        "bob",
        "carol",
        "_",
        "0",
        "zed_with_a_name_of_thirty_two_ch",
    ];
    let users: Vec<Username> = names.iter().map(|name| sns.user(name).unwrap()).collect();
    let hash = PasswordHash::new("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA").unwrap();
    let owned = Username::parse("owned").unwrap();
    sns.write()
        .create_account(&owned, &hash, false)
        .wait()
        .unwrap();
    sns.write().revoke_tokens(&users[0]).wait().unwrap();
    for (n, user) in users.iter().enumerate() {
        for other in users.iter().skip(n + 1) {
            let _ = sns.follow(user, other).wait();
        }
    }
    let _ = sns.unfollow(&users[1], &users[2]).wait();
    let _ = sns.follow(&users[1], &users[2]).wait();
    let texts = [
        "plain",
        "two\nlines",
        "\u{202e}turned",
        "\"quoted\\",
        "\u{1b}[31m",
        "😀",
        "é\u{301}",
    ];
    let pending: Vec<_> = (0..posts)
        .map(|n| {
            let text = format!("{} {n} {}", texts[n % texts.len()], "x".repeat(n % 300));
            sns.write().forget().post(&users[n % users.len()], &text)
        })
        .collect();
    for (n, post) in pending.into_iter().enumerate() {
        let post = post.wait().unwrap();
        if n % 17 == 3 {
            sns.delete(&post.author, post.id).wait().unwrap();
        }
    }
    let fans: Vec<_> = (0..200)
        .map(|n| {
            sns.write()
                .forget()
                .create_user(&Username::parse(&format!("fan{n}")).unwrap())
        })
        .collect();
    for fan in fans {
        fan.wait().unwrap();
    }
    for n in 0..200 {
        let fan = Username::parse(&format!("fan{n}")).unwrap();
        let _ = sns.write().forget().follow(&fan, &users[0]).wait();
    }
}

fn pages<T>(mut page: impl FnMut(Option<&str>) -> Page<T>) -> Vec<T> {
    let mut all = Vec::new();
    let mut next = None;
    loop {
        let found = page(next.as_deref());
        all.extend(found.items);
        next = found.next;
        if next.is_none() {
            return all;
        }
    }
}

/// Every page and every list of every user, as text.
pub fn everything(sns: &Sns) -> Vec<String> {
    let users = pages(|next| match next {
        None => sns.users().limit(200).page().unwrap(),
        Some(next) => sns.users().limit(200).cursor(next).page().unwrap(),
    });
    let mut all = Vec::new();
    for user in users {
        let name = user.username;
        all.push(format!(
            "{user:?} {:?}",
            sns.account(&name)
                .unwrap()
                .password
                .map(|it| it.as_str().to_owned())
        ));
        for list in [true, false] {
            let found = pages(|next| {
                let list = if list {
                    sns.following(&name)
                } else {
                    sns.followers(&name)
                };
                let list = list.limit(200);
                match next {
                    None => list.page().unwrap(),
                    Some(next) => list.cursor(next).page().unwrap(),
                }
            });
            all.extend(found.iter().map(|it| format!("{name} {list} {it:?}")));
        }
        let home: Vec<Post> = pages(|next| {
            let home = sns.home(&name).limit(200).since_follow(true);
            match next {
                None => home.page().unwrap(),
                Some(next) => home.cursor(next).page().unwrap(),
            }
        });
        all.extend(home.iter().map(|it| format!("{name} reads {it:?}")));
        let posts: Vec<Post> = pages(|next| match next {
            None => sns.posts_of(&name).limit(200).page().unwrap(),
            Some(next) => sns.posts_of(&name).limit(200).cursor(next).page().unwrap(),
        });
        all.extend(posts.iter().map(|it| format!("{it:?}")));
    }
    all
}

/// A replica of a log up to `index`, made of its entries alone.
pub fn digest_at(log: &Path, index: u64) -> Sns {
    let options = DirLogOptions::default().read_only(true).file_events(false);
    let from = DirLog::open(log, options).unwrap();
    let to = MemoryLog::new();
    let mut next = from.head().unwrap();
    assert_eq!(next, 1, "the log was trimmed");
    while next <= index {
        for record in from.read(next, 1 << 20).unwrap() {
            if record.index <= index {
                assert_eq!(to.append(&record.payload).unwrap(), record.index);
            }
            next = record.index + 1;
        }
    }
    Sns::over_memory(to).open().unwrap()
}

/// Posts at a rate, over the wire, counted from when each was due.
pub struct Load {
    pub began: Instant,
    stop: Arc<AtomicBool>,
    last: Arc<AtomicU64>,
    /// When each was acknowledged, and after how long.
    done: Arc<Mutex<Vec<(Instant, Duration)>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub async fn start(server: &Server, rate: u32) -> Self {
        let load = Self {
            began: Instant::now(),
            stop: Arc::default(),
            last: Arc::default(),
            done: Arc::default(),
            tasks: Vec::new(),
        };
        // Each of them asks for so many a second that an answer within some ms will do.
        let posters = rate.div_ceil(40).clamp(4, 256);
        let each = Duration::from_secs(1) * posters / rate;
        let mut load = load;
        for n in 0..posters {
            let caller = server.login(&format!("poster{n}")).await;
            let (stop, last, done) = (load.stop.clone(), load.last.clone(), load.done.clone());
            load.tasks
                .push(tokio::spawn(post(caller, each, stop, last, done)));
        }
        load
    }

    pub fn posts_after(&self, seconds: u64) -> usize {
        let from = self.began + Duration::from_secs(seconds);
        let done = self.done.lock().unwrap();
        done.iter().filter(|(at, _)| *at > from).count()
    }

    pub fn last_index(&self) -> u64 {
        self.last.load(Ordering::Relaxed) >> 16
    }

    /// Of those that were acknowledged since then.
    pub fn p99_since_ms(&self, from: Instant) -> f64 {
        let done = self.done.lock().unwrap();
        let took = done.iter().filter(|(at, _)| *at >= from).map(|it| it.1);
        let mut took: Vec<Duration> = took.collect();
        took.sort_unstable();
        let at = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
        took.get(at).map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
    }

    /// Ends it; how many were acknowledged a second.
    pub async fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let seconds = self.began.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a figure for a human")]
        let count = self.done.lock().unwrap().len() as f64;
        count / seconds
    }
}

async fn post(
    mut caller: Caller,
    each: Duration,
    stop: Arc<AtomicBool>,
    last: Arc<AtomicU64>,
    done: Arc<Mutex<Vec<(Instant, Duration)>>>,
) {
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due.into()).await;
        let request = caller.ask(CreatePostRequest {
            text: "under load".into(),
            ..CreatePostRequest::default()
        });
        let posted = caller.api.create_post(request).await.unwrap().into_inner();
        let now = Instant::now();
        done.lock().unwrap().push((now, now - due));
        let id = posted.post.map_or(0, |post| post.id);
        last.fetch_max(id, Ordering::Relaxed);
        due += each;
    }
}
