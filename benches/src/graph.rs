//! [`Graph`]: who follows whom, read from an edge list, plain or gzip.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sns_core::Username;

/// Where graphs are looked for, after `$SNS_GRAPHS`.
const PLACES: &[&str] = &["data", "shared/data", "../shared/data"];

/// A public graph that figures are taken on. The files are not part of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFile {
    /// 962 users, 37,624 follows; 39 followees a user in the mean. Rossi and Ahmed, Network
    /// Repository (2015), `socfb-Reed98`.
    Reed98,
    /// 82,168 users, 870,161 follows; 10.6 followees a user in the mean, 2,510 at most. Leskovec et
    /// al. (2008), SNAP, `soc-Slashdot0902`.
    Slashdot,
}

impl GraphFile {
    /// As it is named with figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reed98 => "Reed98",
            Self::Slashdot => "Slashdot",
        }
    }

    /// Where it is: in the directory that `SNS_GRAPHS` names, in `data`, `shared/data` or
    /// `../shared/data`.
    ///
    /// # Errors
    /// What to do when it is not there.
    pub fn find(self) -> Result<PathBuf, String> {
        let file = match self {
            Self::Reed98 => "socfb-Reed98.edges",
            Self::Slashdot => "soc-Slashdot0902.txt.gz",
        };
        let given = std::env::var_os("SNS_GRAPHS").map(PathBuf::from);
        let places = given.into_iter().chain(PLACES.iter().map(PathBuf::from));
        let mut paths = places.map(|dir| dir.join(file));
        let found = paths.find(|path| path.is_file());
        found.ok_or_else(|| format!("{file} is not there; set SNS_GRAPHS to its directory"))
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`GraphFile::find`] and [`Graph::read`].
    pub fn read(self) -> Result<Graph, String> {
        Graph::read(&self.find()?, self == Self::Reed98)
    }
}

/// Users, and who follows whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// By number: the names of the file.
    pub users: Vec<Username>,
    /// The first follows the second; each pair once, in the order of the file.
    pub follows: Vec<(u32, u32)>,
}

impl Graph {
    /// Reads an edge list: two names a line, the first follows the second (and the second the first,
    /// if `undirected`). `#` and `%` begin comments; who follows themselves is skipped.
    ///
    /// # Errors
    /// The file or the line that cannot be read.
    pub fn read(path: &Path, undirected: bool) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
        let file = File::open(path).map_err(failed)?;
        let gzip = path.extension().is_some_and(|it| it == "gz");
        let bytes: Box<dyn Read> = if gzip {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut graph = Self::default();
        let (mut numbers, mut known) = (HashMap::new(), HashSet::new());
        for line in BufReader::new(bytes).lines() {
            let line = line.map_err(failed)?;
            if line.starts_with(['#', '%']) {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(one), Some(two)) = (words.next(), words.next()) else {
                continue;
            };
            let (one, two) = (
                graph.number(&mut numbers, one)?,
                graph.number(&mut numbers, two)?,
            );
            let both = [(one, two), (two, one)];
            for edge in &both[..=usize::from(undirected)] {
                if one != two && known.insert(*edge) {
                    graph.follows.push(*edge);
                }
            }
        }
        Ok(graph)
    }

    fn number(&mut self, known: &mut HashMap<Username, u32>, name: &str) -> Result<u32, String> {
        let name = Username::parse(name).map_err(|e| e.message().to_owned())?;
        if let Some(number) = known.get(&name) {
            return Ok(*number);
        }
        let number = u32::try_from(self.users.len()).map_err(|e| e.to_string())?;
        known.insert(name, number);
        self.users.push(name);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_list_is_read_in_one_direction_or_both() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edges");
        std::fs::write(&path, "# two and two\n1 2\n2\t1\n3 3\n2 4\n").unwrap();
        let directed = Graph::read(&path, false).unwrap();
        assert_eq!(directed.users.len(), 4);
        assert_eq!(directed.follows, [(0, 1), (1, 0), (1, 3)]);
        let both = Graph::read(&path, true).unwrap();
        assert_eq!(both.follows, [(0, 1), (1, 0), (1, 3), (3, 1)]);
    }
}
