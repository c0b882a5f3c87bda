//! What a survivor tells of its partner's deaths: when it died, was noticed, started again, served
//! and had caught up.
//!
//! Times are of the machine's monotonic clock, which both processes read: what the new process says
//! of itself and what the watcher saw fit together to well under a millisecond, although they speak
//! only ten times a second.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sns_core::own_file;

use crate::failure::Result;

/// Deaths that are remembered of a node.
pub const REMEMBERED: usize = 32;

/// The machine's monotonic clock, from its start.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither is ever negative.
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// One death, told by the partner. Times are milliseconds relative to `died`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// Tells it from all others.
    pub id: String,
    /// Who died.
    pub node: String,
    /// Its pair.
    pub pair: String,
    /// Who says so.
    pub told_by: String,
    /// For a human.
    pub why: String,
    /// It lived, and did nothing: it was killed.
    pub hung: bool,
    /// The process that died.
    pub old_pid: u32,
    /// The one after it, once there is one.
    pub new_pid: Option<u32>,
    /// Wall time of `died`, milliseconds since 1970.
    pub at_ms: u64,
    /// What happened when.
    pub marks: Marks,
}

/// When each thing happened, in milliseconds after `died`; `None` = not yet, or nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// The last answer that it gave; before `died`.
    pub last_heard: Option<f64>,
    /// The kernel said that it ended; of one that hung, the last answer that it gave; of one that
    /// ended while nobody watched, when it was found.
    pub died: f64,
    /// The watcher decided what to do: of one that hung, to kill it.
    pub noticed: f64,
    /// The new process was started.
    pub restarted: Option<f64>,
    /// It served.
    pub serving: Option<f64>,
    /// It had applied everything that was acknowledged anywhere before it served.
    pub caught_up: Option<f64>,
}

/// What the new process says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// Its number.
    pub pid: u32,
    /// When it began to serve.
    pub serving: Option<Duration>,
    /// When it had caught up.
    pub caught_up: Option<Duration>,
}

/// The deaths of one partner, the oldest first. Pure: times come in.
#[derive(Clone, Debug)]
pub struct Deaths {
    node: String,
    pair: String,
    told_by: String,
    held: VecDeque<Death>,
    /// Of the last one, if it is not over: when it died.
    open: Option<Duration>,
    heard: Option<(u32, Duration)>,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// [`monotonic`].
    pub at: Duration,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

impl Deaths {
    /// Of `node`, told by `told_by`. `past`: those of before; one that is not over never will be,
    /// since its teller died, too.
    pub fn new(node: String, pair: String, told_by: String, past: Vec<Death>) -> Self {
        let over = |death: &Death| death.marks.serving.is_some();
        let mut held: VecDeque<Death> = past.into_iter().filter(over).collect();
        held.drain(..held.len().saturating_sub(REMEMBERED));
        Self {
            node,
            pair,
            told_by,
            held,
            open: None,
            heard: None,
        }
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Death> {
        self.held.iter().cloned().collect()
    }

    /// The process `pid` ended at `at` without being asked to. Whether that is a death of its own:
    /// one that hung is dead already, and this is what the kill came to; so is one found dead.
    pub fn died(&mut self, pid: u32, at: Duration, now: Moment, why: &str) -> bool {
        match self.held.back_mut() {
            Some(last) if self.open.is_some() && last.old_pid == pid => {
                if !last.hung {
                    // Found dead, a moment before the word of its end came.
                    why.clone_into(&mut last.why);
                }
                false
            }
            _ => {
                self.begin(pid, at, now, why, false);
                true
            }
        }
    }

    /// The process `pid` ended as it was asked to, if at last by a kill: nobody waits for it.
    pub fn stopped(&mut self, pid: u32) {
        let last = self.held.back();
        if last.is_some_and(|last| last.old_pid == pid || last.new_pid == Some(pid)) {
            self.open = None;
        }
    }

    /// Nobody saw the process `pid` end, and it is gone. Whether that is news.
    pub fn found_dead(&mut self, pid: u32, now: Moment) -> bool {
        // Its file names it until its successor has written its own name.
        if pid == 0 || self.held.iter().any(|death| death.old_pid == pid) {
            return false;
        }
        let why = format!("process {pid} was found dead");
        self.begin(pid, now.at, now, &why, false);
        true
    }

    /// The process `pid` does nothing any more and is killed.
    pub fn hung(&mut self, pid: u32, now: Moment, why: &str) {
        let last = self.heard.filter(|(heard, _)| *heard == pid);
        let at = last.map_or(now.at, |(_, at)| at);
        self.begin(pid, at, now, why, true);
    }

    fn begin(&mut self, pid: u32, at: Duration, now: Moment, why: &str, hung: bool) {
        let ago = now.at.saturating_sub(at);
        let at_ms = now.wall_ms.saturating_sub(ms(ago));
        let heard = self.heard.filter(|(heard, _)| *heard == pid);
        if self.held.len() == REMEMBERED {
            self.held.pop_front();
        }
        self.held.push_back(Death {
            id: format!("{}-{pid}-{at_ms}", self.node),
            node: self.node.clone(),
            pair: self.pair.clone(),
            told_by: self.told_by.clone(),
            why: why.to_owned(),
            hung,
            old_pid: pid,
            new_pid: None,
            at_ms,
            marks: Marks {
                last_heard: heard.map(|(_, last)| between(at, last)),
                noticed: between(at, now.at),
                ..Marks::default()
            },
        });
        self.open = Some(at);
    }

    /// The process `pid` was started in its place.
    pub fn started(&mut self, pid: u32, now: Duration) {
        if let (Some(died), Some(last)) = (self.open, self.held.back_mut())
            && last.old_pid != pid
            && last.new_pid != Some(pid)
        {
            last.new_pid = Some(pid);
            last.marks.restarted = Some(between(died, now));
        }
    }

    /// It answered. Whether that changed anything that is told; and, once, how long it took to
    /// serve again.
    pub fn heard(&mut self, said: Said, now: Duration) -> (bool, Option<Duration>) {
        self.heard = Some((said.pid, now));
        let (Some(died), Some(last)) = (self.open, self.held.back_mut()) else {
            return (false, None);
        };
        if last.new_pid != Some(said.pid) {
            return (false, None);
        }
        let mut news = false;
        let mut back = None;
        if let Some(serving) = said.serving
            && last.marks.serving.is_none()
        {
            last.marks.serving = Some(between(died, serving));
            back = Some(serving.saturating_sub(died));
            news = true;
        }
        if let Some(caught_up) = said.caught_up {
            last.marks.caught_up = Some(between(died, caught_up));
            self.open = None;
            news = true;
        }
        (news, back)
    }
}

/// From `from` to `to` in milliseconds; less than 0 when `to` was first.
fn between(from: Duration, to: Duration) -> f64 {
    let signed = to.as_secs_f64() - from.as_secs_f64();
    // To a microsecond: more is not known.
    (signed * 1e6).round() / 1e3
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where the deaths of a node are kept, so that they outlive who told them.
pub fn path(node_dir: &Path) -> PathBuf {
    node_dir.join("deaths.json")
}

/// Those of before; none when there is no file that this version understands.
pub fn read(node_dir: &Path) -> Vec<Death> {
    let text = own_file::read(&path(node_dir), own_file::SMALL_BYTES).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Keeps them, whole or not at all.
///
/// # Errors
/// As the file system refuses.
pub fn write(node_dir: &Path, deaths: &[Death]) -> Result<()> {
    crate::run_file::replace(&path(node_dir), &deaths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deaths() -> Deaths {
        Deaths::new("a-master".into(), "a".into(), "a-slave".into(), Vec::new())
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(100_000 + ms)
    }

    fn moment(ms: u64) -> Moment {
        Moment {
            at: at(ms),
            wall_ms: 1_000_000 + ms,
        }
    }

    fn said(pid: u32, serving: Option<u64>, caught_up: Option<u64>) -> Said {
        Said {
            pid,
            serving: serving.map(at),
            caught_up: caught_up.map(at),
        }
    }

    #[test]
    fn a_death_is_told_from_the_last_answer_to_having_caught_up() {
        let mut deaths = deaths();
        assert_eq!(
            deaths.heard(said(7, Some(0), Some(0)), at(60)),
            (false, None)
        );
        deaths.died(7, at(100), moment(101), "ended by signal 9");
        deaths.started(8, at(104));
        assert_eq!(deaths.heard(said(8, None, None), at(120)), (false, None));
        let back = deaths.heard(said(8, Some(140), None), at(220));
        assert_eq!(back, (true, Some(Duration::from_millis(40))));
        assert_eq!(
            deaths.heard(said(8, Some(140), Some(141)), at(320)),
            (true, None)
        );
        assert_eq!(
            deaths.heard(said(8, Some(140), Some(141)), at(420)),
            (false, None)
        );
        let all = deaths.all();
        assert_eq!(all.len(), 1);
        let death = &all[0];
        assert_eq!(
            (death.old_pid, death.new_pid, death.at_ms),
            (7, Some(8), 1_000_100)
        );
        let expected = Marks {
            last_heard: Some(-40.0),
            died: 0.0,
            noticed: 1.0,
            restarted: Some(4.0),
            serving: Some(40.0),
            caught_up: Some(41.0),
        };
        assert_eq!(death.marks, expected);
    }

    #[test]
    fn one_that_hung_died_with_its_last_answer_and_its_end_is_no_second_death() {
        let mut deaths = deaths();
        deaths.heard(said(7, Some(0), Some(0)), at(0));
        deaths.hung(7, moment(1_000), "no answer for 1 s");
        assert!(!deaths.died(7, at(1_003), moment(1_003), "ended by signal 9"));
        let all = deaths.all();
        assert_eq!(all.len(), 1);
        assert!(all[0].hung);
        assert_eq!((all[0].at_ms, all[0].marks.noticed), (1_000_000, 1_000.0));
    }

    #[test]
    fn one_that_died_unwatched_is_told_once() {
        let mut deaths = deaths();
        assert!(deaths.found_dead(7, moment(0)));
        assert!(!deaths.found_dead(7, moment(100)));
        deaths.started(8, at(103));
        deaths.heard(said(8, Some(150), Some(150)), at(200));
        assert!(deaths.died(8, at(300), moment(300), "x"));
        assert!(!deaths.found_dead(8, moment(300)));
        assert!(!deaths.found_dead(0, moment(300)));
        assert_eq!(deaths.all().len(), 2);
    }

    #[test]
    fn one_whose_successor_dies_before_it_writes_its_name_is_not_told_again() {
        let mut deaths = deaths();
        deaths.died(7, at(0), moment(0), "x");
        deaths.started(8, at(3));
        deaths.died(8, at(10), moment(10), "y");
        // The file still names the first one.
        assert!(!deaths.found_dead(7, moment(60)));
        deaths.started(9, at(110));
        deaths.heard(said(9, Some(150), Some(150)), at(200));
        let all = deaths.all();
        assert_eq!((all.len(), all[1].marks.serving), (2, Some(140.0)));
    }

    #[test]
    fn one_found_dead_before_the_word_of_its_end_is_one_death() {
        let mut deaths = deaths();
        assert!(deaths.found_dead(7, moment(100)));
        assert!(!deaths.died(7, at(99), moment(101), "ended by signal 9"));
        let all = deaths.all();
        assert_eq!((all.len(), &*all[0].why), (1, "ended by signal 9"));
    }

    #[test]
    fn one_that_was_asked_to_stop_and_had_to_be_killed_is_not_waited_for() {
        let mut deaths = deaths();
        deaths.hung(7, moment(0), "drains for too long");
        deaths.stopped(7);
        deaths.started(8, at(3_600_000));
        assert_eq!(deaths.all()[0].new_pid, None);
    }

    #[test]
    fn one_that_dies_again_before_it_served_is_a_second_death() {
        let mut deaths = deaths();
        deaths.died(7, at(0), moment(0), "x");
        deaths.started(8, at(3));
        deaths.died(8, at(10), moment(10), "y");
        deaths.started(9, at(120));
        deaths.heard(said(9, Some(150), Some(150)), at(200));
        let all = deaths.all();
        let serving: Vec<_> = all.iter().map(|death| death.marks.serving).collect();
        assert_eq!(serving, [None, Some(140.0)]);
    }

    #[test]
    fn the_last_ones_are_kept_also_over_a_restart_of_the_teller() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), []);
        let mut all = deaths();
        for pid in 0..40 {
            all.died(pid, at(0), moment(0), "x");
            all.started(pid + 1, at(1));
            if pid != 38 {
                all.heard(said(pid + 1, Some(2), Some(2)), at(3));
            }
        }
        assert_eq!(all.all().len(), REMEMBERED);
        write(dir.path(), &all.all()).unwrap();
        let back = read(dir.path());
        assert_eq!(back, all.all());
        let after = Deaths::new("a-master".into(), "a".into(), "a-slave".into(), back);
        // Without the one whose end nobody saw.
        assert_eq!(after.all().len(), REMEMBERED - 1);
    }
}
