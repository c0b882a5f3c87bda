//! Who follows whom.

use std::collections::HashMap;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use sns_graph::{Content, Unreadable, Why, pair, read_lines};

/// Who follows whom; users are numbers from 0.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What it is called in reports: the file's name, or what it was made of.
    pub name: String,
    /// How many users there are.
    pub users: u32,
    /// The name of each user, in lower case as a service keeps it.
    pub names: Vec<String>,
    /// The first follows the second; ascending, without doubles and self-loops.
    pub follows: Vec<(u32, u32)>,
}

impl Graph {
    /// Reads an edge list, plain or gzip, as `sns-server import --follows` does: two names a line,
    /// the first follows the second, and the other way round too if `undirected`. Users are
    /// numbered in the order in which they come up.
    ///
    /// # Errors
    /// The file cannot be read, a line is wrong, there are fewer than two users.
    pub fn load(path: &Path, undirected: bool) -> Result<Self, Unreadable> {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut names = Vec::new();
        let mut follows = Vec::new();
        let refused = |why| Unreadable {
            path: path.to_owned(),
            why,
        };
        read_lines(path, |line| {
            let Content::Data(data) = Content::of(line.text) else {
                return Ok(());
            };
            let bad = |why: &str| refused(Why::Line(line.number, why.to_owned()));
            let (a, b) = pair(data).map_err(bad)?;
            let mut number = |name: &str| {
                let name = name.to_ascii_lowercase();
                if let Some(number) = numbers.get(&name) {
                    return Ok(*number);
                }
                let number = u32::try_from(names.len()).map_err(|_| bad("too many users"))?;
                numbers.insert(name.clone(), number);
                names.push(name);
                Ok::<u32, Unreadable>(number)
            };
            let (a, b) = (number(a)?, number(b)?);
            if a != b {
                follows.push((a, b));
                if undirected {
                    follows.push((b, a));
                }
            }
            Ok(())
        })?;
        if names.len() < 2 {
            let why = "a graph needs two users at least".to_owned();
            return Err(refused(Why::Line(1, why)));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self::of(&name.to_string_lossy(), names, follows))
    }

    /// A graph in which each of `users` follows `followees` others, drawn at random from the seed.
    ///
    /// # Panics
    /// When `users` is not more than `followees`.
    pub fn synthetic(users: u32, followees: u32, seed: u64) -> Self {
        assert!(followees < users, "{users} users cannot follow {followees}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut follows = Vec::new();
        for user in 0..users {
            let from = follows.len();
            while follows.len() - from < followees as usize {
                let followee = rng.random_range(0..users);
                if followee != user && !follows[from..].contains(&(user, followee)) {
                    follows.push((user, followee));
                }
            }
        }
        let names = (0..users).map(|user| format!("bench_{user}")).collect();
        let name = format!("random-{users}x{followees}");
        Self::of(&name, names, follows)
    }

    fn of(name: &str, names: Vec<String>, mut follows: Vec<(u32, u32)>) -> Self {
        follows.sort_unstable();
        follows.dedup();
        Self {
            name: name.to_owned(),
            users: u32::try_from(names.len()).unwrap_or(u32::MAX),
            names,
            follows,
        }
    }

    /// Whom a user follows, ascending.
    pub fn followees(&self, user: u32) -> impl Iterator<Item = u32> + '_ {
        let from = self.follows.partition_point(|follow| follow.0 < user);
        self.follows[from..]
            .iter()
            .take_while(move |follow| follow.0 == user)
            .map(|follow| follow.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn an_edge_list_is_read_as_the_import_reads_it() {
        let file = file("# a graph\nA b\n\nb,c\r\na\tB\nc c\n");
        let graph = Graph::load(file.path(), false).unwrap();
        assert_eq!(graph.names, ["a", "b", "c"]);
        assert_eq!(graph.follows, [(0, 1), (1, 2)]);
        let graph = Graph::load(file.path(), true).unwrap();
        assert_eq!(graph.follows, [(0, 1), (1, 0), (1, 2), (2, 1)]);
        assert_eq!(graph.followees(1).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line) in [("a b\nc\n", 2), ("a b c\n", 1), ("", 1), ("# x\n", 1)] {
            let refused = Graph::load(file(text).path(), false).unwrap_err();
            assert!(
                matches!(refused.why, Why::Line(at, _) if at == line),
                "{refused}"
            );
        }
        let gone = Graph::load(Path::new("/no/such/file"), false).unwrap_err();
        assert!(matches!(gone.why, Why::Io(_)), "{gone}");
    }

    #[test]
    fn in_a_synthetic_graph_everybody_follows_as_many() {
        let graph = Graph::synthetic(50, 7, 1);
        assert_eq!((graph.users, graph.follows.len()), (50, 350));
        for user in 0..50 {
            assert_eq!(
                graph.followees(user).filter(|other| *other != user).count(),
                7
            );
        }
        assert_eq!(graph.follows, Graph::synthetic(50, 7, 1).follows);
        assert_ne!(graph.follows, Graph::synthetic(50, 7, 2).follows);
    }
}
