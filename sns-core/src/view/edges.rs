//! Sorted lists of users: a small one in its root, a large one in chunks behind a directory.
//!
//! Reads say what they miss; changes need what [`find`] of the same name has read.

use super::keys::follow::{self, Edge, EdgeChunk, Edges, Side};
use super::keys::{UserNo, Value};
use super::memory::{Memory, Miss};
use crate::user::Username;

/// Edges that a root keeps itself, and that a chunk holds at least before it splits.
const SPLIT: usize = 128;

/// Whose list, and which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) side: Side,
    pub(crate) owner: UserNo,
}

/// All users.
pub(crate) const ALL: List = List {
    side: Side::All,
    owner: UserNo(0),
};

pub(crate) fn following(owner: UserNo) -> List {
    List {
        side: Side::Following,
        owner,
    }
}

pub(crate) fn followers(owner: UserNo) -> List {
    List {
        side: Side::Followers,
        owner,
    }
}

impl List {
    fn root(self) -> super::keys::Key {
        follow::key(self.side, self.owner)
    }

    fn chunk(self, chunk: u32) -> super::keys::Key {
        follow::chunk_key(self.side, self.owner, chunk)
    }
}

/// The place of the chunk that holds `name`, or would.
fn place(root: &Edges, name: &Username) -> usize {
    root.chunks
        .partition_point(|(first, _)| first <= name)
        .saturating_sub(1)
}

/// The number of a user, if there is one of that name.
pub(crate) fn user(memory: &Memory, name: &Username) -> Result<Option<UserNo>, Miss> {
    match memory.named(name) {
        Some(no) => Ok(Some(no)),
        None => Ok(find(memory, ALL, name)?.map(|edge| edge.no)),
    }
}

/// The edge to `name`.
pub(crate) fn find(memory: &Memory, list: List, name: &Username) -> Result<Option<Edge>, Miss> {
    let Some(root) = memory.get::<Edges>(list.root())? else {
        return Ok(None);
    };
    let edges = if root.chunks.is_empty() {
        &root.leaf
    } else {
        let (_, chunk) = root.chunks[place(root, name)];
        &memory.need::<EdgeChunk>(list.chunk(chunk))?.edges
    };
    Ok(edges
        .binary_search_by(|edge| edge.name.cmp(name))
        .ok()
        .map(|at| edges[at]))
}

/// Calls `each` with every edge, ascending by name; misses are told before the first call.
pub(crate) fn for_each<'a>(
    memory: &'a Memory,
    list: List,
    mut each: impl FnMut(&'a Edge),
) -> Result<(), Miss> {
    let Some(root) = memory.get::<Edges>(list.root())? else {
        return Ok(());
    };
    let keys = || root.chunks.iter().map(|(_, chunk)| list.chunk(*chunk));
    let missing: Vec<_> = keys().filter(|key| !memory.has(*key)).collect();
    if !missing.is_empty() {
        return Err(Miss::Fetch(missing));
    }
    root.leaf.iter().for_each(&mut each);
    for key in keys() {
        memory
            .need::<EdgeChunk>(key)?
            .edges
            .iter()
            .for_each(&mut each);
    }
    Ok(())
}

/// Up to `limit` edges with a name after `after`, ascending.
pub(crate) fn page(
    memory: &Memory,
    list: List,
    after: Option<&Username>,
    limit: usize,
) -> Result<Vec<Edge>, Miss> {
    let Some(root) = memory.get::<Edges>(list.root())? else {
        return Ok(Vec::new());
    };
    let mut page = Vec::new();
    let mut take = |edges: &[Edge]| {
        let from = after.map_or(0, |after| edges.partition_point(|edge| edge.name <= *after));
        let left = limit - page.len();
        page.extend(edges[from..].iter().take(left));
        page.len() == limit
    };
    if root.chunks.is_empty() {
        take(&root.leaf);
        return Ok(page);
    }
    let from = after.map_or(0, |after| place(root, after));
    for (_, chunk) in &root.chunks[from..] {
        if take(&memory.need::<EdgeChunk>(list.chunk(*chunk))?.edges) {
            break;
        }
    }
    Ok(page)
}

/// Adds an edge that is not there; `count` = how many the list then has.
pub(crate) fn insert(memory: &mut Memory, list: List, edge: Edge, count: u64) {
    let Ok(Some(root)) = memory.get::<Edges>(list.root()) else {
        memory.put(
            list.root(),
            Edges {
                leaf: vec![edge],
                ..Edges::default()
            },
        );
        return;
    };
    if root.chunks.is_empty() {
        let root: &mut Edges = changed(memory, list.root());
        insert_sorted(&mut root.leaf, edge);
        if root.leaf.len() > SPLIT {
            let mut left = std::mem::take(&mut root.leaf);
            let right = left.split_off(left.len() / 2);
            root.chunks = vec![(left[0].name, 0), (right[0].name, 1)];
            root.next_chunk = 2;
            memory.put(list.chunk(0), EdgeChunk { edges: left });
            memory.put(list.chunk(1), EdgeChunk { edges: right });
        }
        memory.grew(size_of::<Edge>());
        return;
    }
    let at = place(root, &edge.name);
    let number = root.chunks[at].1;
    let most = SPLIT.max(usize::try_from(count.isqrt()).unwrap_or(SPLIT));
    let chunk: &mut EdgeChunk = changed(memory, list.chunk(number));
    insert_sorted(&mut chunk.edges, edge);
    if chunk.edges.len() > most {
        let right = chunk.edges.split_off(chunk.edges.len() / 2);
        let root: &mut Edges = changed(memory, list.root());
        let next = root.next_chunk;
        root.next_chunk += 1;
        root.chunks.insert(at + 1, (right[0].name, next));
        memory.put(list.chunk(next), EdgeChunk { edges: right });
    }
    memory.grew(size_of::<Edge>());
}

/// Takes away the edge to `name`, which is there.
pub(crate) fn remove(memory: &mut Memory, list: List, name: &Username) {
    let Ok(Some(root)) = memory.get::<Edges>(list.root()) else {
        return;
    };
    if root.chunks.is_empty() {
        let root: &mut Edges = changed(memory, list.root());
        root.leaf.retain(|edge| edge.name != *name);
        if root.leaf.is_empty() {
            memory.put(list.root(), Value::Absent);
        }
        return;
    }
    let at = place(root, name);
    let number = root.chunks[at].1;
    let chunk: &mut EdgeChunk = changed(memory, list.chunk(number));
    chunk.edges.retain(|edge| edge.name != *name);
    if chunk.edges.is_empty() {
        memory.put(list.chunk(number), Value::Absent);
        let root: &mut Edges = changed(memory, list.root());
        root.chunks.remove(at);
        if root.chunks.is_empty() {
            memory.put(list.root(), Value::Absent);
        }
    }
}

fn insert_sorted(edges: &mut Vec<Edge>, edge: Edge) {
    let at = edges.partition_point(|other| other.name < edge.name);
    debug_assert!(edges.get(at).is_none_or(|other| other.name != edge.name));
    edges.insert(at, edge);
}

fn changed<T: super::keys::Stored>(memory: &mut Memory, key: super::keys::Key) -> &mut T {
    memory
        .change(key)
        .expect("a directory names chunks that are there")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::log::LogId;
    use crate::seq::Seq;
    use crate::view::Store;
    use crate::view::keys::meta::Meta;
    use crate::view::tests::Draw;

    fn name(number: u64) -> Username {
        Username::parse(&format!("n{number:05}")).unwrap()
    }

    struct Rig {
        memory: Memory,
        store: Store,
        _dir: tempfile::TempDir,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self {
                memory: Memory::new(Meta::new(LogId(1)), usize::MAX),
                store: Store::open(dir.path(), crate::view::seams::Seams::default()).unwrap(),
                _dir: dir,
            }
        }

        fn read<T>(&mut self, read: impl Fn(&Memory) -> Result<T, Miss>) -> T {
            loop {
                match read(&self.memory) {
                    Ok(found) => return found,
                    Err(Miss::Fetch(keys)) => self.memory.load(&self.store, &keys).unwrap(),
                    Err(Miss::Lost(key)) => panic!("{key:?} is lost"),
                }
            }
        }

        fn insert(&mut self, list: List, number: u64, count: usize) {
            let name = name(number);
            assert!(self.read(|m| find(m, list, &name)).is_none());
            let no = UserNo(u32::try_from(number).unwrap());
            let seq = Seq::new(number, 0);
            insert(&mut self.memory, list, Edge { name, no, seq }, count as u64);
        }

        fn remove(&mut self, list: List, number: u64) {
            let name = name(number);
            assert!(self.read(|m| find(m, list, &name)).is_some());
            remove(&mut self.memory, list, &name);
        }

        fn check(&mut self, list: List, model: &BTreeSet<u64>) {
            let expected: Vec<Username> = model.iter().map(|n| name(*n)).collect();
            let all = self.read(|m| {
                let mut all = Vec::new();
                for_each(m, list, |edge| all.push(edge.name))?;
                Ok(all)
            });
            assert!(
                all == expected,
                "{} edges, not {}",
                all.len(),
                expected.len()
            );
            let mut paged: Vec<Username> = Vec::new();
            loop {
                let after = paged.last().copied();
                let page = self.read(|m| page(m, list, after.as_ref(), 201));
                paged.extend(page.iter().map(|edge| edge.name));
                if page.len() < 201 {
                    break;
                }
            }
            assert!(paged == expected);
            // Between any two, before the first and after the last.
            for number in model.iter().flat_map(|n| [n.saturating_sub(1), *n, n + 1]) {
                let name = name(number);
                let found = self.read(|m| find(m, list, &name));
                assert_eq!(found.is_some(), model.contains(&number), "{name}");
            }
        }

        /// Every chunk that is in memory is named by the directory, and none is empty.
        fn check_chunks(&mut self, list: List) {
            let root = self.read(|m| Ok(m.get::<Edges>(list.root())?.cloned()));
            let Some(root) = root else {
                for chunk in 0..200 {
                    let chunk = list.chunk(chunk);
                    assert!(self.read(|m| Ok(m.get::<EdgeChunk>(chunk)?.is_none())));
                }
                return;
            };
            for (_, chunk) in &root.chunks {
                let key = list.chunk(*chunk);
                let edges = self.read(|m| Ok(m.need::<EdgeChunk>(key)?.edges.len()));
                assert!((1..=SPLIT.max(200)).contains(&edges), "{edges}");
            }
        }
    }

    #[test]
    fn thousands_come_and_go_in_any_order_and_every_chunk_goes_with_its_last_edge() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut draw = Draw(seed);
        let list = followers(UserNo(3));
        // Ascending, descending, shuffled; removed from the front, the back, the middle.
        for (order, removal) in [(0, 1), (1, 0), (2, 2)] {
            let mut rig = Rig::new();
            let mut model = BTreeSet::new();
            let mut numbers: Vec<u64> = (1..=3_000).map(|n| n * 3).collect();
            let mut sort = |numbers: &mut Vec<u64>, how| match how {
                0 => numbers.sort_unstable(),
                1 => numbers.sort_unstable_by(|a, b| b.cmp(a)),
                _ => {
                    for at in (1..numbers.len()).rev() {
                        numbers.swap(at, draw.place(at + 1));
                    }
                }
            };
            sort(&mut numbers, order);
            for number in &numbers {
                model.insert(*number);
                rig.insert(list, *number, model.len());
            }
            rig.check(list, &model);
            rig.check_chunks(list);
            sort(&mut numbers, removal);
            for (at, number) in numbers.iter().enumerate() {
                model.remove(number);
                rig.remove(list, *number);
                if at % 997 == 0 || model.len() < 4 {
                    rig.check(list, &model);
                    rig.check_chunks(list);
                }
            }
            assert!(model.is_empty());
            rig.insert(list, 7, 1);
            rig.check(list, &BTreeSet::from([7]));
        }
    }

    #[test]
    fn edges_at_the_borders_of_chunks_are_found_after_random_changes() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut draw = Draw(seed);
        let list = following(UserNo(9));
        let mut rig = Rig::new();
        let mut model = BTreeSet::new();
        for round in 0..12_000 {
            // It grows to hundreds, shrinks to nearly nothing, and grows again.
            let number = 1 + draw.below(900);
            let grows = (round / 2_000) % 2 == 0;
            if model.contains(&number) {
                if !grows || draw.below(4) == 0 {
                    model.remove(&number);
                    rig.remove(list, number);
                }
            } else if grows || draw.below(8) == 0 {
                model.insert(number);
                rig.insert(list, number, model.len());
            }
            if round % 1_999 == 0 {
                rig.check(list, &model);
            }
        }
        rig.check(list, &model);
    }
}
