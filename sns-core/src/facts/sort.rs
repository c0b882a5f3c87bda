//! [`Sorter`]: any number of records in the order of their keys, in bounded memory.
//!
//! A run that fills the memory is sorted and written to a file; in the end all runs are merged, and
//! whenever there are many of them on the way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::new_file::failed;

/// Bytes of records that are sorted in memory.
const RUN_BYTES: usize = 64 * 1024 * 1024;
/// What a record takes besides its bytes, about.
const RECORD_BYTES: usize = 40;
/// Runs that are merged at once: each takes a descriptor and a buffer.
const RUNS: usize = 64;

type Record = (u64, Box<[u8]>);

/// Takes records, then gives them back in order.
#[derive(Debug)]
pub(super) struct Sorter {
    dir: PathBuf,
    run_bytes: usize,
    run: Vec<Record>,
    bytes: usize,
    files: Vec<File>,
}

impl Sorter {
    /// One that writes to files without a name in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self::with_runs(dir, RUN_BYTES)
    }

    fn with_runs(dir: &Path, run_bytes: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            run_bytes,
            run: Vec::new(),
            bytes: 0,
            files: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, key: u64, record: Vec<u8>) -> Result<()> {
        self.bytes += record.len() + RECORD_BYTES;
        self.run.push((key, record.into_boxed_slice()));
        if self.bytes >= self.run_bytes {
            self.end_run()?;
        }
        Ok(())
    }

    /// Hands all records to `each`, ascending.
    pub(super) fn each(mut self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.files.is_empty() {
            self.run.sort_unstable_by_key(|(key, _)| *key);
            return self.run.iter().try_for_each(|(_, record)| each(record));
        }
        self.end_run()?;
        merge(&self.dir, &mut self.files, &mut |_, record| each(record))
    }

    fn end_run(&mut self) -> Result<()> {
        self.run.sort_unstable_by_key(|(key, _)| *key);
        let mut to = Run::new(&self.dir)?;
        for (key, record) in self.run.drain(..) {
            to.put(&self.dir, key, &record)?;
        }
        self.bytes = 0;
        self.files.push(to.end(&self.dir)?);
        if self.files.len() >= RUNS {
            let mut to = Run::new(&self.dir)?;
            merge(&self.dir, &mut self.files, &mut |key, record| {
                to.put(&self.dir, key, record)
            })?;
            self.files = vec![to.end(&self.dir)?];
        }
        Ok(())
    }
}

/// A run on its way to the disk.
struct Run(BufWriter<File>);

impl Run {
    fn new(dir: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(dir).map_err(failed("making a file in", dir))?;
        Ok(Self(BufWriter::new(file)))
    }

    fn put(&mut self, dir: &Path, key: u64, record: &[u8]) -> Result<()> {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let mut write = || {
            self.0.write_all(&key.to_le_bytes())?;
            self.0.write_all(&length.to_le_bytes())?;
            self.0.write_all(record)
        };
        write().map_err(failed("writing in", dir))
    }

    fn end(self, dir: &Path) -> Result<File> {
        let file = self
            .0
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error);
        file.and_then(|mut file| file.rewind().map(|()| file))
            .map_err(failed("writing in", dir))
    }
}

fn merge(
    dir: &Path,
    files: &mut Vec<File>,
    each: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut runs: Vec<_> = files.drain(..).map(BufReader::new).collect();
    let mut heads = BinaryHeap::new();
    let next = |runs: &mut Vec<BufReader<File>>, run: usize| {
        let record = next(&mut runs[run]).map_err(failed("reading in", dir))?;
        Ok::<_, crate::error::Error>(record.map(|(key, record)| Reverse((key, run, record))))
    };
    for run in 0..runs.len() {
        heads.extend(next(&mut runs, run)?);
    }
    while let Some(Reverse((key, run, record))) = heads.pop() {
        each(key, &record)?;
        heads.extend(next(&mut runs, run)?);
    }
    Ok(())
}

/// The next record of a run; `None` = it ends here.
fn next(from: &mut BufReader<File>) -> std::io::Result<Option<Record>> {
    let mut key = [0; 8];
    if from.read(&mut key[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut key[1..])?;
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut record = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut record)?;
    Ok(Some((u64::from_le_bytes(key), record.into_boxed_slice())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use proptest::prelude::*;

    fn sorted(run_bytes: usize, keys: &[u64]) -> Vec<u64> {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::with_runs(dir.path(), run_bytes);
        for key in keys {
            let bytes = key
                .to_le_bytes()
                .repeat(usize::try_from(key % 3).unwrap() + 1);
            sorter.push(*key, bytes).unwrap();
        }
        let mut found = Vec::new();
        let mut take = |record: &[u8]| {
            found.push(u64::from_le_bytes(record[..8].try_into().unwrap()));
            Ok(())
        };
        sorter.each(&mut take).unwrap();
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn records_come_back_in_order_with_few_runs_and_with_many(
            mut keys in prop::collection::vec(any::<u64>(), 0..300),
            run_bytes in 1_usize..2_000,
        ) {
            let found = sorted(run_bytes, &keys);
            keys.sort_unstable();
            prop_assert_eq!(found, keys);
        }
    }

    #[test]
    fn runs_are_merged_on_the_way_when_there_are_many() {
        let keys: Vec<u64> = (0..1_000).map(|n| n * 7_919 % 1_000).collect();
        assert_eq!(sorted(1, &keys), (0..1_000).collect::<Vec<_>>());
    }
}
