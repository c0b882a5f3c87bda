//! `step` as tables under a manual clock.

use super::*;

const PID: u32 = 7;

/// A machine, its clock, and what the process and the watcher say.
struct Bench {
    machine: Machine,
    now: Duration,
    own: Report,
    report: Report,
    /// Whether the process answers each tick, and the disk each probe.
    answers: bool,
    disk: bool,
    /// Whether a look finds the lock free, and who had it last.
    looks: bool,
    last: Last,
}

impl Bench {
    fn new(keeper: bool) -> Self {
        Self {
            machine: Machine::new(Rules::PAIR, keeper, 0),
            now: Duration::from_secs(1_000),
            own: serving(),
            report: serving(),
            answers: true,
            disk: true,
            looks: true,
            last: Last::Nobody,
        }
    }

    /// With a process that was started and has served for `ms`.
    fn served_for(ms: u64) -> Self {
        let mut bench = Self::new(true);
        assert_eq!(
            bench.event(Event::Free(Last::Nobody)),
            [Action::Start { restarts: 0 }]
        );
        assert_eq!(bench.event(Event::Started { pid: PID }), []);
        assert_eq!(bench.ticks(1 + ms / 100), []);
        assert_eq!(bench.machine.condition(), Condition::Serving);
        bench
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        self.machine.step(self.now, 0, event)
    }

    /// So many ticks of 100 ms; what they asked for but looks and probes.
    fn ticks(&mut self, count: u64) -> Vec<Action> {
        let mut acts = Vec::new();
        for _ in 0..count {
            self.now += TICK;
            if self.answers
                && let Some(pid) = self.machine.pid()
            {
                let report = self.report;
                self.event(Event::Answer { pid, report });
            }
            let own = self.own;
            let actions = self.event(Event::Tick(own));
            acts.extend(self.carry_out(actions));
        }
        acts
    }

    /// Looks and probes; gives back the other actions.
    fn carry_out(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut others = Vec::new();
        for action in actions {
            match action {
                Action::Look if !self.looks => {}
                Action::Look => others.extend(self.event(Event::Free(self.last))),
                Action::Probe if self.disk => assert_eq!(self.event(Event::Probed), []),
                Action::Probe => {}
                other => others.push(other),
            }
        }
        others
    }

    fn dies(&mut self) -> Vec<Action> {
        self.exits(false)
    }

    fn exits(&mut self, asked: bool) -> Vec<Action> {
        let actions = self.event(Event::Exited {
            pid: self.machine.pid().expect("a living process"),
            exit: Exit {
                asked,
                lock_held: false,
                why: "signal 9".to_owned(),
            },
        });
        self.carry_out(actions)
    }
}

fn serving() -> Report {
    Report {
        serving: true,
        ..Report::default()
    }
}

fn kills(actions: &[Action]) -> usize {
    let is_kill = |action: &&Action| matches!(action, Action::Kill { .. });
    actions.iter().filter(is_kill).count()
}

#[test]
fn a_process_that_served_is_restarted_at_once() {
    let mut bench = Bench::served_for(2_000);
    assert_eq!(bench.dies(), [Action::Start { restarts: 1 }]);
    bench.event(Event::Started { pid: 8 });
    assert_eq!(bench.machine.restarts(), 1);
    assert_eq!(bench.machine.pid(), Some(8));
}

#[test]
fn early_deaths_back_off_doubling_and_five_in_a_row_are_a_failure() {
    let mut bench = Bench::served_for(500);
    let mut waits = Vec::new();
    for death in 1..=7_u32 {
        let acts = bench.dies();
        assert_eq!(acts.len(), usize::from(death == 5), "{acts:?}");
        let expected = if death < 5 {
            Condition::Restarting
        } else {
            Condition::Failed
        };
        assert_eq!(bench.machine.condition(), expected);
        assert_eq!(bench.machine.reason(), "signal 9");
        let mut ticks = 0;
        while bench.ticks(1).is_empty() {
            ticks += 1;
        }
        waits.push(ticks + 1);
        bench.event(Event::Started { pid: PID + death });
    }
    assert_eq!(waits, [1, 2, 4, 8, 50, 50, 50]);
    assert_eq!(bench.machine.restarts(), 7);
    // Still failed while it has not served for two seconds, then forgotten.
    bench.ticks(10);
    assert_eq!(bench.machine.condition(), Condition::Failed);
    bench.ticks(12);
    assert_eq!(bench.machine.condition(), Condition::Serving);
    assert_eq!(bench.machine.reason(), "");
    assert_eq!(bench.dies(), [Action::Start { restarts: 8 }]);
}

#[test]
fn jitter_shortens_a_delay_by_up_to_the_half() {
    let mut bench = Bench::served_for(500);
    let exit = Exit {
        asked: false,
        lock_held: false,
        why: String::new(),
    };
    let mut early = bench.machine.clone();
    early.step(bench.now, u32::MAX, Event::Exited { pid: PID, exit });
    let at = bench.now + Duration::from_millis(49);
    let free = Event::Free(Last::Died(PID));
    assert_eq!(early.step(at, 0, free.clone()), []);
    let at = bench.now + Duration::from_millis(51);
    let acts = early.step(at, 0, free);
    assert_eq!(acts, [Action::Start { restarts: 1 }]);
    bench.dies();
}

#[test]
fn a_clean_stop_is_not_a_death_and_stays_stopped() {
    let mut bench = Bench::served_for(2_000);
    assert_eq!(bench.exits(true), []);
    assert_eq!(bench.machine.condition(), Condition::Stopped);
    assert_eq!(bench.ticks(1_000), []);
    assert_eq!(bench.event(Event::Free(Last::Nobody)), []);
    assert_eq!(bench.event(Event::Free(Last::Died(PID))), []);
    assert_eq!(bench.ticks(1_000), []);
    // Until someone starts it.
    bench.event(Event::Found {
        pid: 9,
        old: false,
        draining: false,
    });
    bench.ticks(1);
    assert_eq!(bench.machine.condition(), Condition::Serving);
}

#[test]
fn silence_of_a_second_is_a_hang() {
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    assert_eq!(bench.ticks(9), []);
    let acts = bench.ticks(1);
    assert_eq!(kills(&acts), 1, "{acts:?}");
    assert_eq!(bench.machine.condition(), Condition::Hung);
    assert_eq!(bench.ticks(10), []);
    assert_eq!(bench.dies(), [Action::Start { restarts: 1 }]);
    assert!(bench.machine.reason().contains("no heartbeat"));
}

#[test]
fn a_watcher_that_was_stopped_suspects_no_one() {
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    for _ in 0..5 {
        // Stopped for a minute: one tick; then the answer that had waited in the socket.
        bench.now += Duration::from_mins(1);
        assert_eq!(bench.ticks(2), []);
        let report = bench.report;
        bench.event(Event::Answer { pid: PID, report });
    }
    assert_eq!(bench.machine.condition(), Condition::Serving);
}

/// Ticks that come 2 s apart until one is killed, `count` at most; how many it took.
fn late_ticks_to_a_kill(bench: &mut Bench, count: u32) -> Option<u32> {
    (1..=count).find(|_| {
        bench.now += Duration::from_millis(1_900);
        kills(&bench.ticks(1)) > 0
    })
}

#[test]
fn a_watcher_whose_every_tick_is_late_kills_a_silent_one_in_its_own_ticks() {
    let mut bench = Bench::served_for(3_000);
    // As long as it answers, late ticks say nothing against it.
    assert_eq!(late_ticks_to_a_kill(&mut bench, 100), None);
    bench.answers = false;
    assert_eq!(late_ticks_to_a_kill(&mut bench, 100), Some(10));
    assert_eq!(bench.machine.condition(), Condition::Hung);
    // Only the first late tick in a row judges nobody.
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    assert_eq!(late_ticks_to_a_kill(&mut bench, 100), Some(11));
}

#[test]
fn a_watcher_that_is_stopped_twice_with_a_tick_between_kills_nobody_who_went_on_meanwhile() {
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    assert_eq!(bench.ticks(9), []);
    // The answer comes only after the second late tick.
    assert_eq!(late_ticks_to_a_kill(&mut bench, 2), None);
    bench.answers = true;
    assert_eq!(bench.ticks(100), []);
    assert_eq!(bench.machine.condition(), Condition::Serving);
}

#[test]
fn a_launcher_whose_every_tick_is_late_kills_a_router_that_never_answers() {
    let mut bench = Bench::new(true);
    bench.machine = Machine::new(Rules::ROUTER, true, 0);
    bench.event(Event::Free(Last::Nobody));
    bench.event(Event::Started { pid: PID });
    bench.answers = false;
    let most = Rules::ROUTER.first_answer_ticks + 1;
    assert!(late_ticks_to_a_kill(&mut bench, most).is_some());
    assert_eq!(bench.dies(), []);
    assert_eq!(bench.machine.condition(), Condition::Restarting);
}

#[test]
fn a_lock_held_for_a_second_is_a_hang_also_while_the_watcher_waits_for_it() {
    let mut bench = Bench::served_for(3_000);
    bench.report.append = Append::HoldsLock;
    bench.own.append = Append::WaitsForLock;
    let acts = bench.ticks(12);
    assert_eq!(kills(&acts), 1, "{acts:?}");
    assert!(bench.machine.reason().contains("held the lock"));
}

#[test]
fn one_append_after_the_other_is_progress() {
    let mut bench = Bench::served_for(3_000);
    bench.report.append = Append::HoldsLock;
    for _ in 0..100 {
        bench.report.appends += 1;
        assert_eq!(bench.ticks(5), []);
    }
}

#[test]
fn waiting_for_the_lock_is_never_a_hang() {
    let mut bench = Bench::served_for(3_000);
    bench.report.append = Append::WaitsForLock;
    bench.report.queued = 100;
    assert_eq!(bench.ticks(1_000), []);
}

#[test]
fn work_queued_and_nothing_applied_for_five_seconds_is_a_hang() {
    let mut bench = Bench::served_for(3_000);
    bench.report.append = Append::Syncs;
    bench.report.queued = 3;
    assert_eq!(bench.ticks(48), []);
    assert_eq!(kills(&bench.ticks(4)), 1);
}

#[test]
fn an_applier_that_goes_on_is_no_hang() {
    let mut bench = Bench::served_for(3_000);
    bench.report.queued = 3;
    bench.report.lag = 1_000;
    for _ in 0..20 {
        bench.report.applies += 1;
        assert_eq!(bench.ticks(40), []);
    }
}

#[test]
fn a_disk_that_is_slow_for_everybody_is_no_hang() {
    let mut bench = Bench::served_for(3_000);
    bench.disk = false;
    bench.report.append = Append::Syncs;
    bench.report.queued = 3;
    assert_eq!(bench.ticks(200), []);
    // Nor while the watcher's own appender waits for it.
    let mut bench = Bench::served_for(3_000);
    bench.own.append = Append::Syncs;
    bench.own.queued = 1;
    bench.report = bench.own;
    bench.report.serving = true;
    assert_eq!(bench.ticks(200), []);
}

#[test]
fn a_silent_one_is_not_killed_while_the_watcher_itself_does_not_get_through() {
    for own in [
        Report {
            append: Append::WaitsForLock,
            ..serving()
        },
        Report {
            append: Append::HoldsLock,
            ..serving()
        },
        Report {
            applies_now: true,
            ..serving()
        },
        Report {
            lag: 5,
            ..serving()
        },
    ] {
        let mut bench = Bench::served_for(3_000);
        bench.own = own;
        // The watcher needs half a second to see that it stands still, less than for the other.
        bench.answers = false;
        assert_eq!(bench.ticks(100), [], "{own:?}");
        bench.own = serving();
        assert_eq!(kills(&bench.ticks(11)), 1, "{own:?}");
    }
}

#[test]
fn one_that_goes_on_as_another_program_is_left_alone_and_then_judged_afresh() {
    let mut bench = Bench::served_for(10_000);
    let drains = Event::Found {
        pid: PID,
        old: true,
        draining: true,
    };
    assert_eq!(bench.event(drains), []);
    bench.looks = false;
    bench.answers = false;
    assert_eq!(bench.ticks(50), []);
    assert_eq!(bench.machine.condition(), Condition::Draining);
    // The program follows, and takes longer to begin than a drain may take.
    bench.answers = true;
    bench.report = Report {
        starting: true,
        ..Report::default()
    };
    assert_eq!(bench.ticks(200), []);
    assert_eq!(bench.machine.condition(), Condition::Starting);
    // Dead before it served: what the former program did does not count for it.
    let exit = Exit {
        asked: false,
        lock_held: false,
        why: "ended".to_owned(),
    };
    assert_eq!(bench.event(Event::Exited { pid: PID, exit }), []);
    assert_eq!(bench.machine.restarts(), 0);
}

#[test]
fn a_draining_process_is_left_alone() {
    let mut bench = Bench::served_for(3_000);
    bench.report.draining = true;
    bench.report.serving = false;
    bench.ticks(1);
    bench.answers = false;
    assert_eq!(bench.ticks(98), []);
    assert_eq!(bench.machine.condition(), Condition::Draining);
    // Its file says so even when no answer did.
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    bench.ticks(4);
    bench.event(Event::Found {
        pid: PID,
        old: false,
        draining: true,
    });
    assert_eq!(bench.ticks(99), []);
    // It should have ended by itself long ago: then it hangs, and stays stopped all the same.
    assert_eq!(kills(&bench.ticks(2)), 1);
    assert_eq!(bench.exits(true), []);
    assert_eq!(bench.machine.condition(), Condition::Stopped);
    assert_eq!(bench.ticks(100), []);
}

#[test]
fn a_start_that_finds_the_lock_held_is_not_a_death() {
    let mut bench = Bench::new(true);
    bench.event(Event::Free(Last::Nobody));
    for _ in 0..20 {
        bench.looks = false;
        bench.event(Event::Started { pid: PID });
        let acts = bench.event(Event::Exited {
            pid: PID,
            exit: Exit {
                asked: false,
                lock_held: true,
                why: "exit code 7".to_owned(),
            },
        });
        assert_eq!(acts, []);
        assert_eq!(bench.machine.condition(), Condition::Starting);
        assert_eq!(bench.ticks(50), []);
        // Whoever held it is gone: a start follows, without any back-off.
        bench.looks = true;
        assert_eq!(bench.ticks(3).len(), 1);
    }
    bench.looks = false;
    // Or it says who it is: then it is watched like one's own.
    bench.event(Event::Held {
        by: "process 12".to_owned(),
    });
    assert!(bench.machine.reason().contains("process 12"));
    bench.event(Event::Found {
        pid: 12,
        old: true,
        draining: false,
    });
    bench.ticks(1);
    assert_eq!(bench.machine.pid(), Some(12));
    bench.looks = true;
    assert_eq!(bench.dies().len(), 1, "found old: it had served");
}

#[test]
fn a_process_that_does_not_die_is_named_and_none_is_started_beside_it() {
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    assert_eq!(kills(&bench.ticks(10)), 1);
    let acts = bench.ticks(600);
    assert_eq!(acts.len(), 1, "{acts:?}");
    assert!(matches!(&acts[0], Action::Say(what) if what.contains("uninterruptibly")));
    assert_eq!(bench.machine.condition(), Condition::Hung);
    assert_eq!(bench.dies(), [Action::Start { restarts: 1 }]);
}

#[test]
fn one_that_opens_its_data_for_long_is_given_the_time_and_then_judged_afresh() {
    let mut bench = Bench::new(true);
    bench.event(Event::Free(Last::Nobody));
    bench.event(Event::Started { pid: PID });
    bench.answers = false;
    assert_eq!(bench.ticks(590), []);
    bench.event(Event::Found {
        pid: PID,
        old: false,
        draining: false,
    });
    assert_eq!(bench.ticks(9), []);
    assert_eq!(kills(&bench.ticks(1)), 1);
}

#[test]
fn a_master_waits_for_a_slave_that_was_never_there_and_restarts_one_that_died() {
    let mut bench = Bench::new(false);
    assert_eq!(bench.event(Event::Free(Last::Nobody)), []);
    assert_eq!(bench.ticks(100), []);
    assert_eq!(bench.machine.condition(), Condition::Absent);
    bench.event(Event::Free(Last::Asked(2)));
    assert_eq!(bench.machine.condition(), Condition::Stopped);
    let mut bench = Bench::new(false);
    let acts = bench.event(Event::Free(Last::Died(3)));
    assert_eq!(acts, [Action::Start { restarts: 1 }]);
}

#[test]
fn after_stop_nothing_is_started_or_killed() {
    let mut bench = Bench::served_for(3_000);
    bench.event(Event::Stop);
    bench.answers = false;
    assert_eq!(bench.ticks(100), []);
    assert_eq!(bench.event(Event::Free(Last::Nobody)), []);
    let exit = Exit {
        asked: false,
        lock_held: false,
        why: String::new(),
    };
    assert_eq!(bench.event(Event::Exited { pid: PID, exit }), []);
}

#[test]
fn an_answer_or_exit_of_an_earlier_process_changes_nothing() {
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    for _ in 0..9 {
        bench.ticks(1);
        let report = serving();
        bench.event(Event::Answer { pid: 99, report });
    }
    let exit = Exit {
        asked: false,
        lock_held: false,
        why: String::new(),
    };
    assert_eq!(bench.event(Event::Exited { pid: 99, exit }), []);
    assert_eq!(kills(&bench.ticks(1)), 1);
}

#[test]
fn a_slave_that_comes_back_leaves_a_master_alone_that_was_asked_to_stop_meanwhile() {
    let mut bench = Bench::new(true);
    // It was asked after this watcher had begun and before it looked for the first time.
    assert_eq!(bench.event(Event::Free(Last::Asked(3))), []);
    assert_eq!(bench.machine.condition(), Condition::Stopped);
    // One that is started anew undoes the stop that was before, and no later one.
    for (stopped, starts) in [(3, 1), (4, 0)] {
        let mut bench = Bench::new(true);
        bench.machine = bench.machine.undoing(Last::Asked(3));
        let acts = bench.event(Event::Free(Last::Asked(stopped)));
        assert_eq!(acts.len(), starts, "{acts:?}");
    }
}

#[test]
fn a_watcher_that_wakes_up_judges_nobody_before_it_has_heard_what_was_said_meanwhile() {
    let mut bench = Bench::served_for(3_000);
    bench.answers = false;
    assert_eq!(bench.ticks(9), []);
    // Stopped itself, while the other one goes on; its answer is still in the socket.
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.ticks(1), []);
    bench.answers = true;
    assert_eq!(bench.ticks(100), []);
    assert_eq!(bench.machine.condition(), Condition::Serving);
}

#[test]
fn one_that_holds_its_lock_and_never_says_who_it_is_is_killed() {
    let mut bench = Bench::new(false);
    bench.event(Event::Opens { pid: PID });
    bench.answers = false;
    assert_eq!(bench.machine.condition(), Condition::Starting);
    assert_eq!(bench.ticks(599), []);
    assert_eq!(kills(&bench.ticks(1)), 1);
    bench.dies();
    assert_eq!(bench.machine.condition(), Condition::Restarting);
}

#[test]
fn a_start_that_found_a_living_one_which_is_gone_is_tried_again() {
    let mut bench = Bench::new(true);
    assert_eq!(bench.event(Event::Free(Last::Nobody)).len(), 1);
    assert_eq!(bench.event(Event::Vanished), []);
    assert_eq!(bench.ticks(3), [Action::Start { restarts: 1 }]);
}
