//! The view as a whole: kills within an entry, half made databases, the writer's end, the scrub.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::apply::Outcome;
use super::memory::Memory;
use super::*;
use crate::account::PasswordHash;
use crate::command::{Command, RequestId};
use crate::post::Text;
use crate::user::Username;

const LOG: LogId = LogId(7);

fn options() -> Options {
    Options {
        cache_bytes: 100_000,
        rules: Rules {
            requests: 700,
            deletions: 300,
            followees: 150,
        },
        ..Options::default()
    }
}

fn name(number: u64) -> Username {
    Username::parse(&format!("user{number}")).unwrap()
}

/// A small generator, so that a seed says all.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    /// A place among `len` things.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

fn hash(number: u64) -> PasswordHash {
    PasswordHash::new(&format!("$argon2id${number}")).unwrap()
}

/// A log of everything there is, refusals and retries too.
fn random_log(draw: &mut Draw, entries: u64, most: u64) -> Vec<Entry> {
    let users = 170;
    let mut ids: Vec<(RequestId, Intent)> = Vec::new();
    let mut posts: Vec<(u64, Seq)> = Vec::new();
    (1..=entries)
        .map(|index| {
            let count = 1 + draw.below(most);
            let commands = (0..count)
                .map(|slot| {
                    let seq = Seq::new(index, u16::try_from(slot).unwrap());
                    let (a, b) = (draw.below(users), draw.below(users));
                    let user = name(a);
                    let intent = match draw.below(22) {
                        0..3 => Intent::CreateUser { user },
                        // Some are followed by nearly all.
                        3..8 => Intent::Follow {
                            user,
                            followee: name(b % 3),
                        },
                        8..10 => Intent::Follow {
                            user: name(a % 3),
                            followee: name(b),
                        },
                        10..12 => Intent::Unfollow {
                            user,
                            followee: name(b % 3),
                        },
                        12..18 => {
                            posts.push((a % 5, seq));
                            Intent::CreatePost {
                                user: name(a % 5),
                                text: Text::parse(&"x".repeat(1 + draw.place(900))).unwrap(),
                            }
                        }
                        20 => Intent::CreateAccount {
                            user,
                            password: hash(b),
                            claim: b % 2 == 0,
                        },
                        21 if b % 2 == 0 => Intent::SetPassword {
                            user,
                            password: hash(b),
                        },
                        21 => Intent::RevokeTokens { user },
                        _ if posts.is_empty() => Intent::CreateUser { user },
                        _ => {
                            let at = draw.place(posts.len());
                            let (author, id) = posts.swap_remove(at);
                            Intent::DeletePost {
                                user: name(author),
                                id,
                            }
                        }
                    };
                    let (request_id, intent) = match draw.below(4) {
                        0 => (None, intent),
                        1 if !ids.is_empty() => {
                            let (id, again) = &ids[draw.place(ids.len())];
                            (Some(*id), again.clone())
                        }
                        _ => {
                            let mut bytes = [0; 16];
                            bytes[..8].copy_from_slice(&draw.below(u64::MAX).to_le_bytes());
                            let id = RequestId::from_bytes(bytes);
                            ids.push((id, intent.clone()));
                            (Some(id), intent)
                        }
                    };
                    Command {
                        request_id,
                        seen: Seq::new(index.saturating_sub(draw.below(3)), 0),
                        intent,
                    }
                })
                .collect();
            Entry {
                writer: "test".into(),
                batch: [0; 16],
                // Clocks go back, too.
                clock_ms: 1_000 * index - draw.below(5_000).min(1_000 * index),
                commands,
            }
        })
        .collect()
}

fn crc(index: u64) -> u32 {
    u32::try_from(index).unwrap() * 3
}

fn apply_from(view: &View, log: &[Entry]) {
    let from = view.standing().index;
    for (index, entry) in (1..).zip(log).skip(usize::try_from(from).unwrap()) {
        view.apply(index, crc(index), entry).unwrap();
    }
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// All that a closed view left in sled.
fn stored(view: &View) -> Pairs {
    view.close();
    view.check().unwrap();
    let meta = view.store.meta().unwrap().unwrap();
    scrub::check_all(&view.store, &meta).unwrap();
    let pairs = view.store.scan_raw(&[]).unwrap();
    pairs.map(Result::unwrap).collect()
}

/// What a process leaves behind that is killed once `batches` batches of the log are in sled.
fn killed_after(dir: &Path, log: &[Entry], batches: usize) -> bool {
    let store = Store::open(dir, Seams::default()).unwrap();
    let meta = Meta::new(LOG);
    let mut memory = Memory::new(meta, usize::MAX);
    let mut written = 0;
    for (index, entry) in (1..).zip(log) {
        for (slot, command) in (0..).zip(&entry.commands) {
            let seq = Seq::new(index, slot);
            memory.meta.log_time_ms = memory.meta.log_time_ms.max(entry.clock_ms);
            Apply {
                memory: &mut memory,
                store: &store,
                rules: options().rules,
                changes: &mut Vec::new(),
            }
            .command(seq, command)
            .unwrap();
            let meta = &mut memory.meta;
            (meta.applied, meta.crc) = (seq, crc(index));
            meta.entry_done = usize::from(slot) + 1 == entry.commands.len();
            if slot % 100 == 99 {
                let base = store.meta().unwrap().map_or(Seq::ZERO, |meta| meta.applied);
                store.write(&memory.seal(), base, &mut || {}).unwrap();
                written += 1;
                if written == batches {
                    let within = !memory.meta.entry_done;
                    assert!(store.release());
                    return within;
                }
            }
        }
    }
    panic!("the log has fewer than {batches} batches");
}

#[test]
fn a_kill_within_an_entry_changes_nothing_once_the_rest_is_replayed() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut draw = Draw(seed);
    let mut log = random_log(&mut draw, 60, 20);
    log.extend(random_log(&mut draw, 6, 4_000));
    log.extend(random_log(&mut draw, 20, 20));
    let whole = tempfile::tempdir().unwrap();
    let view = View::open(whole.path(), LOG, &options()).unwrap();
    apply_from(&view, &log);
    let (standing, pairs) = (view.standing(), stored(&view));
    assert!(
        standing.posts > 100 && standing.follows > 200,
        "{standing:?}"
    );
    let mut within = 0;
    for batches in [1, 2, 3, 5, 8, 13] {
        let dir = tempfile::tempdir().unwrap();
        within += usize::from(killed_after(dir.path(), &log, batches));
        let mut options = options();
        options.cache_bytes = usize::try_from(draw.below(3_000_000)).unwrap();
        options.check = true;
        let view = View::open(dir.path(), LOG, &options).unwrap();
        assert!(view.resume().0 > 0);
        apply_from(&view, &log);
        let again = view.standing();
        assert_eq!(
            (again.digest, again.applied),
            (standing.digest, standing.applied)
        );
        assert!(stored(&view) == pairs, "after {batches} batches");
    }
    assert!(within > 0, "no kill fell within an entry");
}

#[test]
fn restarts_and_small_caches_leave_the_same_bytes() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut draw = Draw(seed);
    let log = random_log(&mut draw, 150, 30);
    let mut first = None;
    for cache_bytes in [1_000, 200_000, usize::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            cache_bytes,
            ..options()
        };
        let mut done = 0;
        let pairs = loop {
            let view = View::open(dir.path(), LOG, &options).unwrap();
            done += 1 + usize::try_from(draw.below(100)).unwrap();
            apply_from(&view, &log[..done.min(log.len())]);
            let pairs = stored(&view);
            assert!(view.release());
            if done >= log.len() {
                break pairs;
            }
        };
        assert!(
            *first.get_or_insert_with(|| pairs.clone()) == pairs,
            "{cache_bytes}"
        );
    }
}

fn some_view(dir: &Path, options: &Options) -> View {
    let view = View::open(dir, LOG, options).unwrap();
    let mut draw = Draw(1);
    apply_from(&view, &random_log(&mut draw, 30, 20));
    view
}

#[test]
fn a_half_loaded_snapshot_is_not_taken_for_an_empty_view() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let view = some_view(dir.path(), &options());
    let pairs = stored(&view);
    // Loading writes where it stands last; this process was killed before.
    let store = Store::open(other.path(), Seams::default()).unwrap();
    let meta = keys::meta::KEY.to_vec();
    let half = pairs.into_iter().filter(|(key, _)| *key != meta).take(9);
    store.write_raw(half).unwrap();
    assert!(store.release());
    let refused = View::open(other.path(), LOG, &options()).unwrap_err();
    assert!(matches!(refused, Error::Damaged(_)), "{refused:?}");
}

#[test]
fn whoever_waits_for_a_snapshot_is_told_when_the_writer_fails_or_stops() {
    for fail in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let view = Arc::new(View::open(dir.path(), LOG, &options()).unwrap());
        // Within an entry, so that the job has to wait.
        let user = Command {
            request_id: None,
            seen: Seq::ZERO,
            intent: Intent::CreateUser { user: name(1) },
        };
        let entry = Entry {
            writer: String::new(),
            batch: [0; 16],
            clock_ms: 1,
            commands: vec![user],
        };
        view.apply(1, 1, &entry).unwrap();
        view.memory.write().meta.entry_done = false;
        view.memory.write().meta.applied = Seq::new(2, 0);
        let deadline = Instant::now() + Duration::from_secs(20);
        wait_until("the write", || {
            stored_meta(&view).is_some_and(|meta| !meta.entry_done)
        });
        let waiting = {
            let (view, dir) = (Arc::clone(&view), dir.path().to_owned());
            std::thread::spawn(move || view.snapshot(&dir))
        };
        while !view.writer.wants_entry_end() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        if fail {
            view.writer.fail(Error::Damaged("a test".into()));
        }
        view.close();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Busy)));
        assert!(matches!(view.snapshot(dir.path()), Err(Error::Busy)));
    }
}

/// Where sled stands. Asked while the very first batch is on its way, the store takes what it finds
/// for half a database.
fn stored_meta(view: &View) -> Option<Meta> {
    view.store.meta().ok().flatten()
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::yield_now();
    }
}

#[test]
fn the_scrub_agrees_while_writes_go_on_and_finds_a_lost_fact() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        scrub_rest: 1,
        ..options()
    };
    let view = View::open(dir.path(), LOG, &options).unwrap();
    let log = random_log(&mut Draw(rand::random()), 400, 12);
    for (index, entry) in (1..).zip(&log) {
        view.apply(index, crc(index), entry).unwrap();
        if index % 100 == 0 {
            let rounds = view.writer.scrubs();
            wait_until("a round", || {
                view.check().unwrap();
                view.writer.scrubs() > rounds
            });
        }
    }
    // What waits to be written would put back what is taken away now.
    wait_until("all of it in sled", || {
        let stored = stored_meta(&view);
        stored.is_some_and(|meta| meta.applied == view.standing().applied)
    });
    // One key is gone, as if sled had cut it off silently.
    let gone = lists::ALL.root();
    assert!(!matches!(
        view.store.get(gone).unwrap(),
        keys::Value::Absent
    ));
    view.store.remove_raw(&gone.to_bytes());
    wait_until("the failure", || view.check().is_err());
    let entry = &log[0];
    let refused = view.apply(401, 1, entry).unwrap_err();
    assert!(matches!(refused, Error::Damaged(_)), "{refused:?}");
}

#[test]
fn a_checkpoint_of_the_entry_at_which_a_view_was_opened_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let view = some_view(dir.path(), &options());
    let Standing { index, digest, .. } = view.standing();
    view.close();
    assert!(view.release());
    let view = View::open(dir.path(), LOG, &options()).unwrap();
    let checkpoint = |digest| Entry {
        writer: String::new(),
        batch: [0; 16],
        clock_ms: 1,
        commands: vec![Command {
            request_id: None,
            seen: Seq::ZERO,
            intent: Intent::Checkpoint {
                index,
                digest,
                digest_version: digest::VERSION,
            },
        }],
    };
    view.apply(index + 1, 0, &checkpoint(digest)).unwrap();
    let refused = view.apply(index + 2, 0, &checkpoint(!digest)).unwrap_err();
    assert!(matches!(refused, Error::Diverged { .. }), "{refused:?}");
}

#[test]
fn refusals_move_what_sled_is_complete_up_to() {
    let dir = tempfile::tempdir().unwrap();
    let view = View::open(dir.path(), LOG, &options()).unwrap();
    let refused = Entry {
        writer: String::new(),
        batch: [0; 16],
        clock_ms: 1,
        commands: vec![Command {
            request_id: None,
            seen: Seq::ZERO,
            intent: Intent::Follow {
                user: name(1),
                followee: name(2),
            },
        }],
    };
    for index in 1..=5 {
        view.apply(index, crc(index), &refused).unwrap();
    }
    view.close();
    assert_eq!(view.store.meta().unwrap().unwrap().applied, Seq::new(5, 0));
}

#[test]
fn while_entries_wait_to_be_applied_only_full_batches_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        scrub_rest: 1,
        ..options()
    };
    let view = View::open(dir.path(), LOG, &options).unwrap();
    let log = random_log(&mut Draw(3), 3, 12);
    view.behind(true);
    apply_from(&view, &log);
    // The writer looked more often than it takes for a batch to be due.
    let rounds = view.writer.scrubs() + 20;
    wait_until("twenty looks", || view.writer.scrubs() >= rounds);
    assert_eq!(view.store.meta().unwrap(), None);
    view.behind(false);
    wait_until("the batch", || {
        let stored = stored_meta(&view);
        stored.is_some_and(|meta| meta.applied == view.standing().applied)
    });
}

#[test]
fn a_view_that_was_closed_just_now_is_opened_again_and_not_taken_for_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let view = View::open(dir.path(), LOG, &options()).unwrap();
        assert_eq!(view.standing().index, round);
        let log = random_log(&mut Draw(round), round + 1, 3);
        view.apply(round + 1, 1, &log[usize::try_from(round).unwrap()])
            .unwrap();
        view.close();
        assert!(view.release());
    }
}

/// Whether a job was told to give way while twice as much was applied as may be unwritten; it ends when
/// it is told so, or once the applier stands still.
fn gave_way(patient: bool) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let view = View::open(dir.path(), LOG, &options()).unwrap();
    let applied = Arc::new(AtomicU64::new(0));
    let (seen, (done, gave_way)) = (Arc::clone(&applied), oneshot::channel());
    let hold = view.writer.hold(
        Seq::ZERO,
        patient,
        Box::new(move |_, _, give_up| {
            let (mut at, mut since) = (0, Instant::now());
            while !give_up() && (at == 0 || since.elapsed() < Duration::from_secs(1)) {
                std::thread::park_timeout(Duration::from_millis(1));
                if at != seen.load(Ordering::Relaxed) {
                    (at, since) = (seen.load(Ordering::Relaxed), Instant::now());
                }
            }
            done.send(give_up()).unwrap();
        }),
    );
    hold.unwrap();
    let text = Text::parse(&"😀".repeat(1_000)).unwrap();
    let post = |intent| Command {
        request_id: None,
        seen: Seq::ZERO,
        intent,
    };
    let user = name(1);
    let (posts, an_entry) = (3 * limits::WINDOW_BYTES / 4_000, 100);
    let mut commands = vec![post(Intent::CreateUser { user })];
    for index in 1..=(posts / an_entry) as u64 {
        commands.extend((0..an_entry).map(|_| {
            let text = text.clone();
            post(Intent::CreatePost { user, text })
        }));
        let entry = Entry {
            writer: String::new(),
            batch: [0; 16],
            clock_ms: 1,
            commands: std::mem::take(&mut commands),
        };
        view.apply(index, 1, &entry).unwrap();
        applied.store(index, Ordering::Relaxed);
    }
    gave_way.recv().unwrap()
}

#[test]
fn a_snapshot_gives_way_to_an_applier_that_waits_for_room() {
    assert!(gave_way(false));
}

#[test]
fn a_patient_snapshot_is_waited_for() {
    assert!(!gave_way(true));
}

#[test]
fn a_name_belongs_to_whoever_made_it_and_a_claim_takes_only_what_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let view = View::open(dir.path(), LOG, &options()).unwrap();
    let (alice, bob) = (name(1), name(2));
    let mut index = 0;
    let mut apply = |clock_ms, intent| {
        index += 1;
        let entry = Entry {
            writer: String::new(),
            batch: [0; 16],
            clock_ms,
            commands: vec![Command {
                request_id: None,
                seen: Seq::ZERO,
                intent,
            }],
        };
        view.apply(index, 1, &entry).unwrap().0[0].outcome
    };
    let account = |user, number, claim| Intent::CreateAccount {
        user,
        password: hash(number),
        claim,
    };
    let of = |user| view.read(|m| pages::account(m, &user)).unwrap();
    let made = |created| Outcome::User { created };

    assert_eq!(apply(10, account(alice, 1, false)), made(true));
    for claim in [false, true] {
        assert_eq!(apply(11, account(alice, 2, claim)), made(false));
    }
    let known = of(alice).unwrap();
    assert_eq!((known.password, known.revoked_ms), (Some(hash(1)), 0));

    assert_eq!(apply(12, Intent::CreateUser { user: bob }), made(true));
    assert_eq!(apply(13, account(bob, 3, false)), made(false));
    assert_eq!(of(bob).unwrap().password, None);
    assert_eq!(apply(14, account(bob, 4, true)), made(true));
    let known = of(bob).unwrap();
    assert_eq!((known.password, known.revoked_ms), (Some(hash(4)), 14));

    // Log time never goes back, and so neither does what is void.
    assert_eq!(
        apply(9, Intent::RevokeTokens { user: alice }),
        Outcome::Done
    );
    assert_eq!(of(alice).unwrap().revoked_ms, 14);
    let change = Intent::SetPassword {
        user: alice,
        password: hash(5),
    };
    assert_eq!(apply(20, change), Outcome::Done);
    let known = of(alice).unwrap();
    assert_eq!((known.password, known.revoked_ms), (Some(hash(5)), 20));
    let nobody = Intent::RevokeTokens { user: name(3) };
    let refused = Outcome::refused(Reason::UserNotFound);
    assert_eq!(apply(21, nobody), refused);
    assert!(!of(name(3)).unwrap().exists);
}
