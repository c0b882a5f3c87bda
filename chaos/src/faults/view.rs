//! A view is taken away or damaged under a running node.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rustix::process::Signal;
use tokio::time::sleep;

use super::{BACK, Result, Stage, micros, ms};
use crate::failure::Doing as _;
use crate::history::Fault;

/// Bytes that are overwritten in one file.
const DAMAGE: usize = 64;
/// The longest time that a node runs on with a damaged view.
const WHILE: Duration = Duration::from_secs(1);

impl Stage {
    pub(super) async fn view(&mut self, fault: &mut Fault) -> Result<()> {
        let name = self.any_node()?;
        let view = self.cluster.node_dir(&name).join("view");
        let deleted: bool = self.rng.random();
        if deleted {
            delete(&view)?;
        } else {
            self.damage(&view)?;
        }
        // It runs on with that for a while.
        sleep(WHILE.mul_f64(self.rng.random())).await;
        let old = self.hit(&name, Signal::KILL, fault).await?;
        let begun = Instant::now();
        self.all_serve(&[old]).await?;
        fault.back = micros(begun.elapsed());
        let what = if deleted { "deleted" } else { "damaged" };
        fault.detail = format!("{what}; serves again after {}", ms(begun.elapsed()));
        Ok(())
    }

    /// Writes nonsense somewhere into one of the files of the view.
    fn damage(&mut self, view: &Path) -> Result<()> {
        let deadline = Instant::now() + BACK;
        loop {
            match self.try_damage(view) {
                // The files come and go while it runs.
                Err(e) if e.kind() == ErrorKind::NotFound && Instant::now() < deadline => {}
                other => return other.doing("damage a view"),
            }
        }
    }

    fn try_damage(&mut self, view: &Path) -> io::Result<()> {
        let entries = fs::read_dir(view)?;
        let files: Vec<(PathBuf, u64)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                (metadata.is_file() && metadata.len() > 0).then(|| (entry.path(), metadata.len()))
            })
            .collect();
        let (path, length) = files.choose(&mut self.rng).ok_or(ErrorKind::NotFound)?;
        let mut nonsense = [0; DAMAGE];
        self.rng.fill(&mut nonsense);
        let at = self.rng.random_range(0..*length);
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&nonsense, at)
    }
}

/// Deletes a directory in which somebody makes new files meanwhile.
fn delete(view: &Path) -> Result<()> {
    let deadline = Instant::now() + BACK;
    loop {
        match fs::remove_dir_all(view) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty && Instant::now() < deadline => {}
            other => return other.doing("delete a view"),
        }
    }
}
