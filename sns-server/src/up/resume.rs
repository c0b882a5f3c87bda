//! An `up` that goes on where the program that ran in this process before left off: its children are
//! this one's children, and its files say where they are.

use std::path::Path;

use super::Up;
use super::course::CourseProcess;
use super::plan::Plan;
use super::router::RouterProcess;
use crate::again;
use crate::pair::child::reap_orphans;
use crate::run_file::RunFile;

/// What it had started; `None` for an `up` that starts. Another number of pairs than before counts from
/// the next start on: those that run must not be left alone, and new ones have no place yet.
pub(super) fn plan(data: &Path, pairs: u32) -> Option<(Plan, RunFile)> {
    let own = again::before()?.pid;
    let run = RunFile::read(data).filter(|run| run.up.pid == own && run.up.is_alive())?;
    let kept = if run.pairs == 0 { pairs } else { run.pairs };
    if kept != pairs {
        tracing::warn!(
            kept,
            asked = pairs,
            "another number of pairs counts after `sns-server down` and `sns-server up`"
        );
    }
    Some((Plan::of_files(data, kept, &run)?, run))
}

impl Up {
    /// Takes over what `run` and the files of the nodes name.
    pub(super) fn take_over(&mut self, run: &RunFile) {
        // Who ended while one program took the other's place.
        reap_orphans(&[]);
        self.router
            .count_on(RouterProcess::RULES, run.router_restarts);
        if let Some(id) = &run.router {
            self.router.kept_mut().child_mut().adopt(id);
        }
        if let Some(course) = &mut self.course {
            course.count_on(CourseProcess::RULES, run.course_restarts);
            if let Some(id) = &run.course {
                course.kept_mut().child_mut().adopt(id);
            }
        }
        for pair in &mut self.pairs {
            pair.kept_mut().adopt();
        }
    }
}
