//! A history on disk: read and written line by line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::History;

impl History {
    /// Reads a file.
    ///
    /// # Errors
    /// As the file system refuses; `InvalidData` names the line that makes no sense.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes: Box<dyn Read> = if is_gzip(path) {
            Box::new(GzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut history = Self::default();
        for (number, line) in BufReader::with_capacity(1 << 20, bytes).lines().enumerate() {
            let line = serde_json::from_str(&line?).map_err(|e| {
                let what = format!("{}, line {}: {e}", path.display(), number + 1);
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?;
            history.push(line);
        }
        Ok(history)
    }

    /// Writes a file; what was there is gone.
    ///
    /// # Errors
    /// As the file system refuses.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        if is_gzip(path) {
            // The packer clears a buffer at each call, so it gets much at a time.
            let gzip = GzEncoder::new(file, Compression::fast());
            let mut packed = BufWriter::with_capacity(1 << 20, gzip);
            self.write_lines(&mut packed)?;
            let gzip = packed.into_inner()?;
            gzip.finish()?.into_inner()?.sync_all()
        } else {
            let mut plain = file;
            self.write_lines(&mut plain)?;
            plain.into_inner()?.sync_all()
        }
    }

    fn write_lines(&self, to: &mut impl Write) -> io::Result<()> {
        line(to, "run", &self.run)?;
        all(to, "fault", &self.faults)?;
        all(to, "op", &self.ops)?;
        all(to, "stream", &self.streams)?;
        all(to, "command", &self.log)?;
        all(to, "replica", &self.replicas)?;
        all(to, "listing", &self.listings)
    }
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

/// As [`Line`] is written, without a copy of what it holds.
#[derive(Serialize)]
struct Tagged<'a, T> {
    t: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

fn line<T: Serialize>(to: &mut impl Write, t: &'static str, value: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *to, &Tagged { t, value })?;
    to.write_all(b"\n")
}

fn all<T: Serialize>(to: &mut impl Write, t: &'static str, values: &[T]) -> io::Result<()> {
    values.iter().try_for_each(|value| line(to, t, value))
}
