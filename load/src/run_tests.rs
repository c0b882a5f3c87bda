//! The engine against services that are not there.

use super::*;
use crate::mix::Mix;
use crate::op::{Connection, Op, Reply};
use std::sync::Mutex;

/// Answers after a while, by its number of calls.
struct Fake<F> {
    behave: F,
    ops: Mutex<Vec<Op>>,
    start: Instant,
}

struct FakeConnection<F>(Arc<Fake<F>>);
struct FakeTarget<F>(Arc<Fake<F>>);

impl<F: Fn(Duration) -> Result<Duration, CallError> + Send + Sync + 'static> Target
    for FakeTarget<F>
{
    type Connection = FakeConnection<F>;

    async fn connect(&self) -> Result<FakeConnection<F>, CallError> {
        Ok(FakeConnection(Arc::clone(&self.0)))
    }
}

impl<F: Fn(Duration) -> Result<Duration, CallError> + Send + Sync + 'static> Connection
    for FakeConnection<F>
{
    async fn call(&mut self, op: &Op) -> Result<Reply, CallError> {
        self.0.ops.lock().unwrap().push(op.clone());
        let length = (self.0.behave)(self.0.start.elapsed())?;
        if !length.is_zero() {
            tokio::time::sleep(length).await;
        }
        Ok(Reply { posts: 20 })
    }
}

fn fake<F>(behave: F) -> Arc<FakeTarget<F>> {
    Arc::new(FakeTarget(Arc::new(Fake {
        behave,
        ops: Mutex::default(),
        start: Instant::now(),
    })))
}

fn graph() -> Graph {
    Graph::synthetic(100, 5, 1)
}

fn plan(mix: Mix, rate: f64, seconds: u64) -> Plan {
    Plan {
        connections: 16,
        duration: Duration::from_secs(seconds),
        warmup: Duration::from_secs(1),
        ..Plan::new(mix, rate)
    }
}

fn on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Runs on a clock that jumps from one event to the next.
async fn run_fake<F>(behave: F, plan: &Plan) -> (Report, Vec<Op>)
where
    F: Fn(Duration) -> Result<Duration, CallError> + Send + Sync + 'static,
{
    let target = fake(behave);
    let report = run_at(Pace::Coarse, Arc::clone(&target), &graph(), plan, on).await;
    let ops = std::mem::take(&mut *target.0.ops.lock().unwrap());
    (report.unwrap(), ops)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn against_a_service_that_answers_at_once_all_requests_are_sent() {
    let target = fake(|_| Ok(Duration::ZERO));
    let plan = Plan {
        warmup: ms(200),
        ..plan(Mix::Dsb, 2_000.0, 1)
    };
    let report = run(target, &graph(), &plan, on).await.unwrap();
    assert_eq!((report.answered, report.errors), (2_000, 0));
    assert_eq!((report.requests, report.unsent), (2_000, 0));
    assert_eq!(report.posts, 20 * report.pages);
    // The generator's own error, for those who look with --nocapture: some 50 us.
    println!("{:?}", report.summary().latency());
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
    let stall = ms(2_000)..ms(2_300);
    let behave = move |now| {
        Ok(if stall.contains(&now) {
            stall.end.saturating_sub(now)
        } else {
            Duration::ZERO
        })
    };
    let (report, _) = run_fake(behave, &plan(Mix::Read, 1_000.0, 3)).await;
    assert_eq!((report.requests, report.answered), (3_000, 3_000));
    // One tenth of all were due in the stall and waited for the rest of it, though only sixteen
    // could be under way.
    let (few, many) = (report.quantile(0.85), report.quantile(0.99));
    assert!(few <= ms(3), "{few:?}");
    assert!((ms(240)..=ms(302)).contains(&many), "{many:?}");
    let half = report.quantile(0.95);
    assert!((ms(120)..ms(180)).contains(&half), "{half:?}");
}

#[tokio::test(start_paused = true)]
async fn what_too_few_connections_leave_unsent_is_counted() {
    let plan = Plan {
        connections: 1,
        warmup: Duration::ZERO,
        ..plan(Mix::Post, 200.0, 4)
    };
    let (report, ops) = run_fake(|_| Ok(ms(10)), &plan).await;
    // 100 a second for the four seconds and one of grace.
    assert!((400..=510).contains(&report.answered), "{report:?}");
    assert_eq!(report.requests, 800);
    assert_eq!(report.answered + report.unsent, 800);
    assert_eq!(ops.len() as u64, report.answered);
    assert!(report.achieved() < 105.0, "{}", report.achieved());
    // What was never sent waited, too.
    assert_eq!(report.all().len(), 800);
    assert!(report.quantile(0.99) > ms(2_000));
}

#[tokio::test(start_paused = true)]
async fn calls_without_an_answer_do_not_hold_up_the_end() {
    let behave = |now: Duration| Ok(if now > ms(2_000) { ms(1 << 40) } else { ms(1) });
    let (report, _) = run_fake(behave, &plan(Mix::Dsb, 100.0, 3)).await;
    assert_eq!((report.unanswered, report.errors), (16, 16));
    assert_eq!(report.requests, 300);
    assert_eq!(report.answered + report.unanswered + report.unsent, 300);
    assert!(report.quantile(0.99) > ms(10_000));
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_by_reason_and_are_no_fast_answers() {
    let behave = |now: Duration| match now.as_secs() {
        0 | 1 => Ok(ms(20)),
        2 => Err(CallError("lost".to_owned())),
        _ => Err(CallError("refused".to_owned())),
    };
    let (report, _) = run_fake(behave, &plan(Mix::Dsb, 200.0, 3)).await;
    assert_eq!(report.requests, 600);
    assert_eq!(report.answered + report.errors, 600);
    assert_eq!(report.errors_by_reason.values().sum::<u64>(), report.errors);
    let reasons: Vec<_> = report.errors_by_reason.keys().collect();
    assert_eq!(reasons, ["lost", "refused"]);
    assert_eq!(report.all().len(), report.answered);
    assert!(report.quantile(0.0) >= ms(19));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_reports_what_was_due_until_then() {
    let target = fake(|_| Ok(ms(1)));
    let plan = plan(Mix::Dsb, 1_000.0, 60);
    let stop = |progress: &Progress| {
        if progress.elapsed >= ms(3_000) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let report = run_at(Pace::Coarse, target, &graph(), &plan, stop).await;
    let report = report.unwrap();
    assert!(
        (ms(2_000)..ms(2_200)).contains(&report.measured),
        "{report:?}"
    );
    assert!((1_900..2_200).contains(&report.requests), "{report:?}");
    assert_eq!(report.errors, 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_sends_the_same_operations() {
    let plan = Plan {
        connections: 1,
        ..plan(Mix::Nightcore, 500.0, 2)
    };
    let (_, first) = run_fake(|_| Ok(Duration::ZERO), &plan).await;
    let (_, again) = run_fake(|_| Ok(Duration::ZERO), &plan).await;
    assert_eq!(first.len(), 1_500);
    assert_eq!(first, again);
    let other = Plan { seed: 2, ..plan };
    let (_, other) = run_fake(|_| Ok(Duration::ZERO), &other).await;
    assert_ne!(first, other);
}

#[tokio::test]
async fn a_plan_that_makes_no_sense_is_refused() {
    let good = plan(Mix::Dsb, 100.0, 1);
    for bad in [
        Plan {
            rate: 0.0,
            ..good.clone()
        },
        Plan {
            rate: f64::NAN,
            ..good.clone()
        },
        Plan {
            rate: 1e9,
            ..good.clone()
        },
        Plan {
            connections: 0,
            ..good.clone()
        },
        Plan {
            duration: ms(1),
            ..good.clone()
        },
    ] {
        let refused = run(fake(|_| Ok(ms(0))), &graph(), &bad, on).await;
        assert!(matches!(refused, Err(RunError::Plan(_))), "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_highest_rate_that_holds_is_near_the_capacity() {
    use crate::find_max::{Bound, find_max_at};
    // One server, a millisecond a call.
    let free = Mutex::new(Duration::ZERO);
    let behave = move |now: Duration| {
        let mut free = free.lock().unwrap();
        *free = now.max(*free) + ms(1);
        Ok(free.saturating_sub(now))
    };
    let plan = Plan {
        connections: 64,
        ..plan(Mix::Dsb, 100.0, 5)
    };
    let bound = Bound {
        p99: ms(50),
        step: ms(3_000),
    };
    let (pace, graph) = (|| Ok(Pace::Coarse), graph());
    let found = find_max_at(pace, fake(behave), &graph, &plan, &bound, |_| {
        ControlFlow::Continue(())
    });
    let found = found.await.unwrap();
    let rate = found.report.plan.rate;
    assert!(found.held, "{:?}", found.tried);
    assert!(
        (850.0..=1_000.0).contains(&rate),
        "{rate}: {:?}",
        found.tried
    );
    assert_eq!(found.report.plan.duration, plan.duration);
}
