//! Every run of a small world: both machines of a pair at once, each with the other
//! as its process, and the launcher. Breadth first, so that what it finds is found by the shortest
//! way, and until nothing new turns up, so that no depth bounds it: only what may befall them does
//! (`Budget`). What must never be is checked in every state, and the way to it is printed.
//!
//! Random walks ([`world`](super::world)) go far and meet few orders of events; this goes not far
//! and meets all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Instant;

use super::Without;

mod blows;
mod launcher;
mod normal;
mod pair;
mod promises;
mod watch;
mod words;

use pair::Pair;
use words::{Blow, Budget, Mode, Wrong};

/// What befell them, and in which order they moved.
type Move = (Blow, bool);

struct Search {
    /// By hash, 64 bits tell some millions of states apart: the state before, and the move from it.
    seen: HashMap<u64, (u64, Move), BuildHasherDefault<DefaultHasher>>,
}

/// How far a search came.
struct Extent {
    states: usize,
    /// Ticks after which there was nothing new.
    ticks: u32,
}

struct Wronged {
    what: Wrong,
    moves: Vec<Move>,
}

fn hash(pair: &Pair) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(pair)
}

impl Search {
    /// All states that can be reached from `first`, or the way to the nearest that is wrong.
    fn run(first: &Pair) -> Result<Extent, Wronged> {
        let mut search = Self {
            seen: HashMap::default(),
        };
        let root = hash(first);
        search.seen.insert(root, (root, (Blow::Nothing, false)));
        let mut frontier = vec![(root, first.clone())];
        let mut ticks = 0;
        while !frontier.is_empty() {
            let mut next = Vec::new();
            for (from, pair) in &frontier {
                for blow in pair.blows() {
                    for reverse in [false, true] {
                        let mut after = pair.clone();
                        if let Err(what) = after.tick(blow, reverse) {
                            let mut moves = search.way_to(*from, root);
                            moves.push((blow, reverse));
                            return Err(Wronged { what, moves });
                        }
                        after.normalise();
                        let key = hash(&after);
                        if let Entry::Vacant(free) = search.seen.entry(key) {
                            free.insert((*from, (blow, reverse)));
                            next.push((key, after));
                        }
                    }
                }
            }
            frontier = next;
            ticks += 1;
        }
        let states = search.seen.len();
        Ok(Extent { states, ticks })
    }

    fn way_to(&self, mut key: u64, root: u64) -> Vec<Move> {
        let mut moves = Vec::new();
        while key != root {
            let (before, step) = self.seen[&key];
            moves.push(step);
            key = before;
        }
        moves.reverse();
        moves
    }
}

/// The way to a wrong state, tick by tick.
fn tell(first: &Pair, wronged: &Wronged) -> String {
    let mut pair = first.clone();
    let mut text = format!("{}\n     {}\n", wronged.what, pair.line());
    for (at, (blow, reverse)) in wronged.moves.iter().enumerate() {
        let outcome = pair.tick(*blow, *reverse);
        let order = if *reverse { " (slave first)" } else { "" };
        let line = format!("{:>3}. {blow:?}{order}\n     {}\n", at + 1, pair.line());
        text.push_str(&line);
        if let Err(what) = outcome {
            text = text + "     " + &what + "\n";
        }
        pair.normalise();
    }
    text
}

/// Explores every mode with the budget; the first wrong way, told.
fn explore(without: Without, left: Budget) -> Result<Extent, String> {
    let mut all = Extent {
        states: 0,
        ticks: 0,
    };
    for busy in [false, true] {
        for slow in [false, true] {
            let mode = Mode {
                busy,
                slow,
                without,
            };
            let first = Pair::new(mode, left)?;
            let found = Search::run(&first);
            let found = found.map_err(|wrong| format!("{mode:?}\n{}", tell(&first, &wrong)))?;
            all.states += found.states;
            all.ticks = all.ticks.max(found.ticks);
        }
    }
    Ok(all)
}

/// All that can befall a pair within `left`. `SNS_PAIR_DEPTH=1` adds a fault.
fn no_run_is_wrong(left: Budget) {
    let more = std::env::var("SNS_PAIR_DEPTH").ok();
    let more: u8 = more.and_then(|text| text.parse().ok()).unwrap_or(0);
    let left = Budget {
        faults: left.faults + more,
        ..left
    };
    let start = Instant::now();
    match explore(Without::Nothing, left) {
        Ok(Extent { states, ticks }) => {
            let took = start.elapsed();
            println!("{left:?}: {states} states, nothing new after {ticks} ticks, {took:?}");
        }
        Err(way) => panic!("{way}"),
    }
}

/// Two processes that die, stop or hang.
const FAULTS: Budget = Budget {
    faults: 2,
    blocks: 0,
    requests: 0,
    broken: 0,
};

#[test]
fn no_three_faults_break_a_promise() {
    no_run_is_wrong(Budget {
        faults: 3,
        ..FAULTS
    });
}

#[test]
fn no_two_faults_while_everybody_is_hindered_break_a_promise() {
    no_run_is_wrong(Budget {
        blocks: 1,
        ..FAULTS
    });
}

#[test]
fn no_two_faults_while_an_operator_stops_or_starts_a_node_break_a_promise() {
    no_run_is_wrong(Budget {
        requests: 1,
        ..FAULTS
    });
}

#[test]
fn no_two_faults_while_starts_fail_break_a_promise() {
    no_run_is_wrong(Budget {
        broken: 1,
        ..FAULTS
    });
}

#[test]
fn one_of_everything_breaks_no_promise() {
    no_run_is_wrong(Budget {
        faults: 1,
        blocks: 1,
        requests: 1,
        broken: 1,
    });
}

/// Takes a rule away, and has a promise broken.
fn is_missed(without: Without, left: Budget, promise: &str) {
    let Err(way) = explore(without, left) else {
        panic!("{without:?} is missed by nobody");
    };
    println!("{way}");
    assert!(way.contains(promise), "another one: {way}");
}

#[test]
fn without_the_watchers_own_path_a_healthy_one_is_killed() {
    let left = Budget {
        blocks: 1,
        ..FAULTS
    };
    is_missed(Without::OwnPath, left, "was healthy and killed");
}

#[test]
fn without_the_watchers_own_ticks_a_healthy_one_is_killed() {
    is_missed(Without::OwnTicks, FAULTS, "was healthy and killed");
}

#[test]
fn without_a_pause_after_its_own_sleep_a_watcher_kills_a_healthy_one() {
    is_missed(Without::Gap, FAULTS, "was healthy and killed");
}

#[test]
fn without_the_node_lock_two_run_side_by_side() {
    let left = Budget {
        requests: 1,
        ..FAULTS
    };
    is_missed(Without::NodeLock, left, "run side by side");
}

#[test]
fn without_the_back_off_restarts_are_a_storm() {
    let left = Budget {
        broken: 1,
        ..FAULTS
    };
    is_missed(Without::BackOff, left, "a storm of starts");
}

#[test]
fn without_the_difference_of_stop_and_death_a_stop_is_undone() {
    let left = Budget {
        requests: 1,
        ..FAULTS
    };
    is_missed(Without::CleanStop, left, "had been asked to stop");
}
