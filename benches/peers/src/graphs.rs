//! Which graphs a run is made on.

use std::path::{Path, PathBuf};

use sns_load::Graph;

use crate::failure::{Doing as _, Failure, Result};

/// The graphs that figures are published for. The files belong to their makers and are not part of
/// the tree.
const KNOWN: &[&str] = &["socfb-Reed98.edges", "soc-Slashdot0902.txt.gz"];
/// Where they are looked for, after `$SNS_GRAPHS`.
const PLACES: &[&str] = &["data", "shared/data", "../shared/data"];

/// Loads the graphs named; without any those that are known and there. `say` is told of absent ones.
///
/// # Errors
/// A graph cannot be read, or there is none.
pub fn load(named: &[PathBuf], quick: bool, mut say: impl FnMut(&str)) -> Result<Vec<Graph>> {
    let mut paths = named.to_vec();
    if paths.is_empty() {
        for name in KNOWN {
            match find(name) {
                Some(path) => paths.push(path),
                None => say(&format!(
                    "SKIPPED: {name} is not there; set SNS_GRAPHS to its directory"
                )),
            }
        }
        if quick {
            paths.truncate(1);
        }
    }
    if paths.is_empty() {
        let why = "no graph: name one with --graph FILE, or set SNS_GRAPHS to a directory of them";
        return Err(Failure(why.to_owned()));
    }
    let load = |path: &PathBuf| Graph::load(path, undirected(path)).doing("read a graph");
    paths.iter().map(load).collect()
}

fn find(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("SNS_GRAPHS").map(PathBuf::from);
    let places = given.into_iter().chain(PLACES.iter().map(PathBuf::from));
    places.map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Network Repository's `.edges` name each friendship once.
fn undirected(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".edges") || name.ends_with(".edges.gz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friendships_go_both_ways_and_follows_one_way() {
        assert!(undirected(Path::new("a/socfb-Reed98.edges")));
        assert!(undirected(Path::new("x.edges.gz")));
        assert!(!undirected(Path::new("a.edges/soc-Slashdot0902.txt.gz")));
    }
}
