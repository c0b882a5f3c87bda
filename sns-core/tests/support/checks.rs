//! What a replica promises about retries, kills and its own soundness, each as one check. The test
//! files run them as they are; `every_check_is_missed.rs` runs the same ones over a view that leaves
//! something out, and they must fail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "this is test code"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use sns_core::{Check, Reason, RequestId, Seq, Sns, SnsBuilder, State, Username};

use crate::feed::draw::Draw;
use crate::feed::{all_posts, name, wait_until};

/// The words of each promise, which stand in the failure when it is broken: whatever else panics is
/// no proof that a test holds with it.
pub(crate) const ONE_EFFECT: &str = "a retry has the first outcome and no second effect";
/// See [`ONE_EFFECT`].
pub(crate) const COMES_BACK: &str = "what a kill leaves comes back as the same feed";
/// See [`ONE_EFFECT`].
pub(crate) const FACTS: &str = "a remembered refusal is a fact";

/// A retry on the same server has the first outcome, and one that comes too late to tell is refused.
pub(crate) fn retries_have_one_effect(draw: &mut Draw, without: Option<Check>) {
    for remembered in [1, 2, 10, 300] {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let builder = Sns::builder(dir.path()).node("a").tiny_cache(20_000);
            let builder = builder.without(without);
            builder.remembered_requests(remembered).open().unwrap()
        };
        let mut sns = open();
        let user = sns.user("user").unwrap();
        let mut requests: Vec<(RequestId, Seq, String, Seq)> = Vec::new();
        for n in 0..700_u64 {
            let (id, seen, text) = (RequestId::random(), sns.applied(), format!("{n}"));
            let write = sns.write().request_id(id).seen(seen);
            let post = write.post(&user, &text).wait().unwrap();
            requests.push((id, seen, text, post.id));
            if draw.below(3) == 0 {
                let back = draw.below(requests.len() as u64).min(draw.below(500));
                let at = requests.len() - 1 - usize::try_from(back).unwrap();
                let (id, seen, text, first) = &requests[at];
                let write = sns.write().request_id(*id).seen(*seen);
                match write.post(&user, text).wait() {
                    Ok(post) => {
                        assert_eq!(post.id, *first, "{ONE_EFFECT}");
                        assert!(back < remembered);
                    }
                    Err(error) => {
                        assert_eq!(error.reason(), Reason::RequestExpired);
                        assert!(back >= remembered, "{back} of {remembered}");
                    }
                }
            }
            if draw.below(200) == 0 {
                drop(sns);
                sns = open();
            }
        }
        assert_eq!(all_posts(&sns, &user).len(), 700);
        let digest = sns.status().digest;
        drop(sns);
        fs::remove_dir_all(dir.path().join("nodes/a/view")).unwrap();
        assert_eq!(open().status().digest, digest);
    }
}

/// Users of [`crowd`].
const USERS: usize = 400;
/// Kills of [`killed_views_come_back`], at most.
const KILLS: usize = 120;

/// A file that a view does not mind, and that is gone once it was rebuilt.
const MARK: &str = "kept";

/// Copies a directory without directories in it but `blobs`, which is how sled's look.
pub(crate) fn copy_view(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_view(&path, &target);
        } else {
            match fs::copy(&path, &target) {
                Ok(_) => {}
                // sled replaces its small files while it runs.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => panic!("{}: {e}", path.display()),
            }
        }
    }
}

/// What changes when something in a directory is written.
fn stamps(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata.len(), metadata.modified().unwrap()))
    };
    let entries = fs::read_dir(dir).unwrap();
    let mut stamps: Vec<_> = entries
        .filter_map(|entry| stamp(entry.unwrap().path()))
        .collect();
    stamps.sort();
    stamps
}

/// As [`copy_view`], of a view that is open: sled writes now and then by itself, and a kill leaves
/// the files of one moment.
fn copy_open_view(from: &Path, to: &Path) {
    for _ in 0..50 {
        let before = stamps(from);
        copy_view(from, to);
        if stamps(from) == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
    panic!("sled writes all the time");
}

pub(crate) fn view_of(data: &Path, node: &str) -> PathBuf {
    data.join("nodes").join(node).join("view")
}

/// Opens a node and waits until it has applied the whole log; when it does not, that is a failure
/// and not a test that hangs.
fn open(builder: SnsBuilder, what: &str) -> Sns {
    let sns = builder.wait_until_caught_up(false).open().unwrap();
    let tail = sns.status().tail;
    wait_until(what, || {
        let status = sns.status();
        let reason = &status.reason;
        assert_ne!(
            status.state,
            State::Halted,
            "{what}: {COMES_BACK}: {reason}"
        );
        status.applied + 1 >= tail && status.state == State::Serving
    });
    sns
}

/// Many users who follow, unfollow, post and delete, so that much is written in one go; after each
/// round, waits until `steps` says that the view is written.
fn crowd(sns: &Sns, steps: &AtomicUsize) {
    let users: Vec<Username> = (0..USERS).map(|n| name(&format!("user{n}"))).collect();
    let made: Vec<_> = users.iter().map(|user| sns.create_user(user)).collect();
    for made in made {
        assert!(made.wait().unwrap().created);
    }
    for round in 0..4 {
        let mut pending = Vec::new();
        for (n, user) in users.iter().enumerate() {
            let other = &users[(n * 7 + round * 31 + 1) % USERS];
            pending.push(sns.follow(user, other));
            if n % 5 == round {
                pending.push(sns.unfollow(user, other));
            }
        }
        let posts: Vec<_> = users
            .iter()
            .map(|user| sns.post(user, &"z".repeat(60)))
            .collect();
        // Some follow themselves, or twice: refusals are facts as well.
        for one in pending {
            drop(one.wait());
        }
        for (n, post) in posts.into_iter().enumerate() {
            let post = post.wait().unwrap();
            if n % 9 == round {
                sns.delete(&post.author, post.id).wait().unwrap();
            }
        }
        let before = steps.load(Ordering::SeqCst);
        sns.post(&users[0], "the end of a round").wait().unwrap();
        wait_until("the view is written", || {
            steps.load(Ordering::SeqCst) > before
        });
    }
}

/// A data directory with a node `a`, and what kills at each step of its view's writes would have
/// left: the directories of nodes `kill0`, `kill1`, ...
#[derive(Debug)]
pub(crate) struct Killed {
    pub(crate) data: tempfile::TempDir,
    pub(crate) nodes: Vec<String>,
    pub(crate) digest: String,
}

impl Killed {
    pub(crate) fn new(without: Option<Check>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let kills = Arc::new(AtomicUsize::new(0));
        let (count, root) = (Arc::clone(&kills), data.path().to_owned());
        let builder = Sns::builder(data.path()).node("a").without(without);
        let sns = builder
            .between_writes(move |view| {
                let kill = count.fetch_add(1, Ordering::SeqCst);
                if kill < KILLS {
                    let copy = view_of(&root, &format!("kill{kill}"));
                    copy_open_view(view, &copy);
                    fs::write(copy.join(MARK), "").unwrap();
                }
            })
            .open()
            .unwrap();
        crowd(&sns, &kills);
        let digest = sns.status().digest;
        sns.close();
        drop(sns);
        let kills = kills.load(Ordering::SeqCst).min(KILLS);
        Self {
            data,
            nodes: (0..kills).map(|kill| format!("kill{kill}")).collect(),
            digest,
        }
    }

    pub(crate) fn builder(&self, node: &str) -> SnsBuilder {
        Sns::builder(self.data.path()).node(node)
    }

    /// Opens what a kill left, and looks whether it is the same feed; whether it was kept.
    pub(crate) fn comes_back(&self, builder: SnsBuilder, node: &str) -> bool {
        let sns = open(builder, node);
        assert_eq!(sns.status().digest, self.digest, "{node}: {COMES_BACK}");
        let posts = all_posts(&sns, &name("user7"));
        assert_eq!(posts.len(), 4, "{node}: {COMES_BACK}");
        sns.close();
        drop(sns);
        view_of(self.data.path(), node).join(MARK).exists()
    }
}

/// Wherever a kill comes between the steps in which a view is written, it comes back as it must be,
/// also where nothing but the order of the steps protects it: stored bytes are not checked first.
pub(crate) fn killed_views_come_back(without: Option<Check>) {
    let killed = Killed::new(without);
    let (mut kept, mut redone) = (0, 0);
    for node in &killed.nodes {
        let redo = view_of(killed.data.path(), node).join("sns-redo").exists();
        let builder = killed.builder(node).check_bytes(0).without(without);
        let was_kept = killed.comes_back(builder, node);
        if !was_kept {
            println!("{node} was rebuilt");
        }
        kept += usize::from(was_kept);
        redone += usize::from(redo && was_kept);
    }
    let kills = killed.nodes.len();
    println!("{kills} kills, {kept} views kept, {redone} by their redo file");
    if without.is_some() {
        // Counts are no promise: a kill that nobody notices is not what was looked for.
        return;
    }
    assert!(kills >= 20, "the view was written in few steps");
    assert!(
        redone >= 5,
        "few kills came between the batches of one write"
    );
    // None is rebuilt but for a copy that is not of one moment all the same.
    assert!(kept * 10 >= kills * 9, "{kept} of {kills} were kept");
}

/// A view that was stopped in good order is sound by its own sums: it is kept, not rebuilt.
pub(crate) fn a_sound_view_is_kept(without: Option<Check>) {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let builder = Sns::builder(dir.path()).node("a").remembered_requests(50);
        builder.without(without).open().unwrap()
    };
    let sns = open();
    let (alice, bob) = (sns.user("alice").unwrap(), sns.user("bob").unwrap());
    for n in 0..120 {
        let write = sns.write().request_id(RequestId::random());
        match n % 3 {
            0 => drop(write.post(&alice, "text").wait().unwrap()),
            1 => drop(write.follow(&alice, &bob).wait()),
            _ => drop(write.unfollow(&bob, &alice).wait()),
        }
    }
    // A refusal alone is a fact too.
    let before = sns.status().digest;
    let refused = sns.write().request_id(RequestId::random());
    refused.unfollow(&bob, &alice).wait().unwrap_err();
    assert_ne!(sns.status().digest, before, "{FACTS}");
    let digest = sns.status().digest;
    sns.close();
    drop(sns);
    let mark = view_of(dir.path(), "a").join(MARK);
    fs::write(&mark, "").unwrap();
    let sns = open();
    assert!(mark.exists(), "a sound view was rebuilt");
    assert_eq!(sns.status().digest, digest);
    sns.close();
    drop(sns);
    fs::remove_dir_all(view_of(dir.path(), "a")).unwrap();
    assert_eq!(open().status().digest, digest);
}
