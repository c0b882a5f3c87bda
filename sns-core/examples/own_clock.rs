//! How a program that embeds the feed tests itself: a log in memory and a clock of its own.
//!
//! ```text
//! cargo run -p sns-core --example own_clock
//! ```
//!
//! The program here is [`weekly_letter`]: what somebody missed in the last seven days. Its test lets
//! three weeks pass in a millisecond, twice, and gets the same letters, the same ids and the same
//! digest: nothing in the feed reads the clock of the system, or chance, to decide what is true. Only
//! request ids are drawn, and the digest holds those that are remembered: the test gives its own.
//!
//! Try to break it: turn the clock back (the last scene does); use two replicas of one log, each with
//! a wrong clock of its own (`Sns::over_memory(log.clone())` twice); let the scenes take random names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sns_core::log::memory::MemoryLog;
use sns_core::{Clock, RequestId, Result, Seq, Sns, Username, Write};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What the embedding program is about: posts of others of the seven days before `now`, oldest first.
///
/// It asks the clock that it was given, as the feed does, so that a test moves both at once.
fn weekly_letter(sns: &Sns, clock: &Clock, reader: &Username) -> Result<Vec<String>> {
    let since = clock.now_ms().saturating_sub(7 * DAY_MS);
    let (mut lines, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = sns.home(reader).exclude_own(true).cursor(&cursor).page()?;
        // Log time never goes back, so the first post that is too old ends the letter.
        let fresh = page.items.iter().take_while(|p| p.created_at_ms > since);
        let before = lines.len();
        lines.extend(fresh.map(|post| format!("{}: {}", post.author, post.text)));
        match page.next {
            Some(next) if lines.len() - before == page.items.len() => cursor = next,
            _ => break,
        }
    }
    lines.reverse();
    Ok(lines)
}

/// A feed in memory, and the hand of its clock.
struct Stage {
    sns: Sns,
    clock: Clock,
    hand: Arc<AtomicU64>,
    writes: AtomicU64,
}

impl Stage {
    fn new() -> Result<Self> {
        // 1 January 2030, midnight: any day will do, and it is the same one in every run.
        let hand = Arc::new(AtomicU64::new(1_893_456_000_000));
        let clock = Clock::manual(Arc::clone(&hand));
        let sns = Sns::over_memory(MemoryLog::new()).clock(clock.clone());
        Ok(Self {
            sns: sns.open()?,
            clock,
            hand,
            writes: AtomicU64::new(0),
        })
    }

    /// A write whose request id is the same in every run.
    fn write(&self) -> Write {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let id = RequestId::derived("scene", Seq::from_u64(number));
        self.sns.write().request_id(id)
    }

    fn pass(&self, days: u64) {
        self.hand.fetch_add(days * DAY_MS, Ordering::Relaxed);
    }

    fn turn_back(&self, days: u64) {
        self.hand.fetch_sub(days * DAY_MS, Ordering::Relaxed);
    }
}

/// Three weeks; returns the letters and the digest of all that is true in the end.
fn three_weeks() -> Result<(Vec<Vec<String>>, String)> {
    let stage = Stage::new()?;
    let sns = &stage.sns;
    let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    stage.write().follow(&alice, &bob).wait()?;
    let mut letters = Vec::new();
    for week in 1..=3 {
        for day in 1..=7 {
            stage.pass(1);
            if day % week == 0 {
                let text = format!("week {week}, day {day}");
                stage.write().post(&bob, &text).wait()?;
            }
        }
        letters.push(weekly_letter(sns, &stage.clock, &alice)?);
    }

    // Somebody sets the clock wrong. What is written now is not older than what was written before.
    let newest = sns.posts_of(&bob).limit(1).page()?.items.remove(0);
    stage.turn_back(365);
    let late = stage
        .write()
        .post(&bob, "the clock was turned back")
        .wait()?;
    assert!(late.created_at_ms >= newest.created_at_ms && late.id > newest.id);
    Ok((letters, sns.status().digest))
}

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<()> {
    let (letters, digest) = three_weeks()?;
    for (week, letter) in letters.iter().enumerate() {
        println!(
            "week {}: {} posts, the first: {}",
            week + 1,
            letter.len(),
            letter[0]
        );
    }
    let counts: Vec<usize> = letters.iter().map(Vec::len).collect();
    assert_eq!(counts, [7, 3, 2], "every day, every second, every third");
    let (again, digest_again) = three_weeks()?;
    assert_eq!((letters, &digest), (again, &digest_again));
    println!("the same again, down to the digest: {digest}");
    Ok(())
}
