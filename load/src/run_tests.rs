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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn against_a_service_that_answers_at_once_all_requests_are_sent() {
    let target = fake(|_| Ok(Duration::ZERO));
    let plan = Plan {
        warmup: Duration::from_millis(200),
        ..plan(Mix::Dsb, 2_000.0, 1)
    };
    let report = run(target, &graph(), &plan, on).await.unwrap();
    assert_eq!(
        (report.answered, report.errors, report.unsent),
        (2_000, 0, 0)
    );
    // The generator's own error; seen with --nocapture.
    println!("{:#?}", report.summary());
}
