//! A view is taken away or damaged under a running node.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Instant;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rustix::process::Signal;

use super::{Result, Stage, ms};
use crate::failure::Doing as _;
use crate::history::Fault;

/// Bytes that are overwritten in one file.
const DAMAGE: usize = 64;

impl Stage {
    pub(super) async fn view(&mut self, fault: &mut Fault) -> Result<()> {
        let name = self.any_node()?;
        let view = self.cluster.node_dir(&name).join("view");
        let deleted: bool = self.rng.random();
        if deleted {
            fs::remove_dir_all(&view).doing("delete a view")?;
        } else {
            self.damage(&view)?;
        }
        let old = self.hit(&name, Signal::KILL, fault).await?;
        let begun = Instant::now();
        self.all_serve(&[old]).await?;
        let what = if deleted { "deleted" } else { "damaged" };
        fault.detail = format!("{what}; serves again after {}", ms(begun.elapsed()));
        Ok(())
    }

    /// Writes nonsense somewhere into one of the files of the view.
    fn damage(&mut self, view: &PathBuf) -> Result<()> {
        let entries = fs::read_dir(view).doing("list a view")?;
        let files: Vec<(PathBuf, u64)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                (metadata.is_file() && metadata.len() > 0).then(|| (entry.path(), metadata.len()))
            })
            .collect();
        if let Some((path, length)) = files.choose(&mut self.rng) {
            let mut nonsense = [0; DAMAGE];
            self.rng.fill(&mut nonsense);
            let at = self.rng.random_range(0..*length);
            let file = fs::OpenOptions::new().write(true).open(path);
            let file = file.doing("open a file of a view")?;
            file.write_all_at(&nonsense, at).doing("damage a view")?;
        }
        Ok(())
    }
}
