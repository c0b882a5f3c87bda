//! Sorted lists of users: a small one in its root, a large one in chunks behind a directory.
//!
//! Reads say what they miss; changes need what [`room`] or [`edge`] has read.

use std::marker::PhantomData;

use super::keys::list::{Chunk, Edge, Item, Named, Root, Side};
use super::keys::{Family, Key, Stored, UserNo, Value};
use super::memory::{Memory, Miss};
use crate::user::Username;

/// Users that a root keeps itself, and that a chunk holds at least before it splits.
const SPLIT: usize = 128;

/// Whose list, and which.
#[derive(Debug)]
pub(crate) struct List<E> {
    side: Side,
    owner: UserNo,
    of: PhantomData<E>,
}

impl<E> Clone for List<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for List<E> {}

/// All users.
pub(crate) const ALL: List<Named> = List {
    side: Side::All,
    owner: UserNo(0),
    of: PhantomData,
};

pub(crate) fn following(owner: UserNo) -> List<Edge> {
    List {
        side: Side::Following,
        owner,
        of: PhantomData,
    }
}

pub(crate) fn followers(owner: UserNo) -> List<Edge> {
    List {
        side: Side::Followers,
        owner,
        of: PhantomData,
    }
}

impl<E: Item> List<E> {
    fn key(self, family: Family, number: u32) -> Key {
        Key {
            family,
            side: self.side as u8,
            a: self.owner.0,
            b: number,
        }
    }

    pub(crate) fn root(self) -> Key {
        self.key(E::ROOT, 0)
    }

    pub(crate) fn chunk(self, chunk: u32) -> Key {
        self.key(E::CHUNK, chunk)
    }
}

/// The place of the chunk that holds `name`, or would.
fn place<E>(root: &Root<E>, name: &Username) -> usize {
    // What the first chunk says to begin with may be too high by now: it holds all below the second.
    let later = root.chunks.get(1..).unwrap_or_default();
    later.partition_point(|(first, _)| first <= name)
}

/// How many users a part of a list may hold that has `count` of them; `chunks` = it has any.
fn most(chunks: bool, count: u64) -> usize {
    if chunks {
        SPLIT.max(usize::try_from(count.isqrt()).unwrap_or(SPLIT))
    } else {
        SPLIT
    }
}

/// The number of a user, if there is one of that name.
pub(crate) fn user(memory: &Memory, name: &Username) -> Result<Option<UserNo>, Miss> {
    match memory.named(name) {
        Some(no) => Ok(Some(no)),
        None => Ok(find(memory, ALL, name, |user| user.name == *name)?.map(|user| user.no)),
    }
}

/// The edge to the user `no`, whose name is `name`.
pub(crate) fn edge(
    memory: &Memory,
    list: List<Edge>,
    name: &Username,
    no: UserNo,
) -> Result<Option<Edge>, Miss> {
    find(memory, list, name, |edge| edge.no == no)
}

/// The part of the list that holds `name`, or would; `None` = the list is empty.
fn part<'a, E: Item>(
    memory: &'a Memory,
    list: List<E>,
    name: &Username,
) -> Result<Option<(bool, &'a [E])>, Miss> {
    let Some(root) = memory.get::<Root<E>>(list.root())? else {
        return Ok(None);
    };
    if root.chunks.is_empty() {
        return Ok(Some((false, &root.leaf)));
    }
    let (_, chunk) = root.chunks[place(root, name)];
    let chunk = memory.need::<Chunk<E>>(list.chunk(chunk))?;
    Ok(Some((true, &chunk.items)))
}

fn find<E: Item>(
    memory: &Memory,
    list: List<E>,
    name: &Username,
    is: impl Fn(&E) -> bool,
) -> Result<Option<E>, Miss> {
    let part = part(memory, list, name)?;
    Ok(part.and_then(|(_, items)| items.iter().find(|item| is(item)).copied()))
}

/// Calls `each` with every item, in no order; misses are told before the first call.
pub(crate) fn for_each<E: Item>(
    memory: &Memory,
    list: List<E>,
    mut each: impl FnMut(&E),
) -> Result<(), Miss> {
    let Some(root) = memory.get::<Root<E>>(list.root())? else {
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
            .need::<Chunk<E>>(key)?
            .items
            .iter()
            .for_each(&mut each);
    }
    Ok(())
}

/// Items with their names, in the order of these.
fn sorted<E: Item>(memory: &Memory, items: &[E]) -> Result<Vec<(Username, E)>, Miss> {
    let mut named = Vec::with_capacity(items.len());
    let mut missing = Vec::new();
    for item in items {
        match item.name(memory) {
            Ok(name) => named.push((*name, *item)),
            Err(Miss::Fetch(mut keys)) => missing.append(&mut keys),
            Err(lost) => return Err(lost),
        }
    }
    if !missing.is_empty() {
        return Err(Miss::Fetch(missing));
    }
    named.sort_unstable_by_key(|(name, _)| *name);
    Ok(named)
}

/// Up to `limit` users with a name after `after`, ascending.
pub(crate) fn page<E: Item>(
    memory: &Memory,
    list: List<E>,
    after: Option<&Username>,
    limit: usize,
) -> Result<Vec<(Username, UserNo)>, Miss> {
    let Some(root) = memory.get::<Root<E>>(list.root())? else {
        return Ok(Vec::new());
    };
    let mut page = Vec::new();
    let mut take = |items: &[E]| {
        let sorted = sorted(memory, items)?;
        let from = after.map_or(0, |after| sorted.partition_point(|(name, _)| name <= after));
        let rest = sorted[from..].iter().take(limit - page.len());
        page.extend(rest.map(|(name, item)| (*name, item.no())));
        Ok(page.len() == limit)
    };
    if root.chunks.is_empty() {
        take(&root.leaf)?;
        return Ok(page);
    }
    let from = after.map_or(0, |after| place(root, after));
    for (_, chunk) in &root.chunks[from..] {
        if take(&memory.need::<Chunk<E>>(list.chunk(*chunk))?.items)? {
            break;
        }
    }
    Ok(page)
}

/// Reads what [`insert`] of that name needs; `count` = how many the list then has.
pub(crate) fn room<E: Item>(
    memory: &Memory,
    list: List<E>,
    name: &Username,
    count: u64,
) -> Result<(), Miss> {
    match part(memory, list, name)? {
        Some((chunks, items)) if items.len() >= most(chunks, count) => {
            sorted(memory, items).map(drop)
        }
        _ => Ok(()),
    }
}

/// As [`edge`]; if there is none, as [`room`] too.
pub(crate) fn edge_or_room(
    memory: &Memory,
    list: List<Edge>,
    name: &Username,
    no: UserNo,
    count: u64,
) -> Result<Option<Edge>, Miss> {
    let Some((chunks, edges)) = part(memory, list, name)? else {
        return Ok(None);
    };
    let found = edges.iter().find(|edge| edge.no == no);
    if found.is_none() && edges.len() >= most(chunks, count) {
        sorted(memory, edges)?;
    }
    Ok(found.copied())
}

/// Adds a user that is not there, and whose record is; `count` = how many the list then has.
pub(crate) fn insert<E: Item>(
    memory: &mut Memory,
    list: List<E>,
    name: &Username,
    item: E,
    count: u64,
) {
    let Ok(Some(root)) = memory.get::<Root<E>>(list.root()) else {
        let root = Root {
            leaf: vec![item],
            chunks: Vec::new(),
            next_chunk: 0,
        };
        memory.put(list.root(), E::root_value(root));
        return;
    };
    if root.chunks.is_empty() {
        memory.grew(size_of::<E>());
        let root: &mut Root<E> = changed(memory, list.root());
        root.leaf.push(item);
        if root.leaf.len() > most(false, count) {
            let items = std::mem::take(&mut root.leaf);
            let (first, left, middle, right) = split(memory, &items);
            let root: &mut Root<E> = changed(memory, list.root());
            root.chunks = vec![(first, 0), (middle, 1)];
            root.next_chunk = 2;
            memory.put(list.chunk(0), E::chunk_value(Chunk { items: left }));
            memory.put(list.chunk(1), E::chunk_value(Chunk { items: right }));
        }
        return;
    }
    let at = place(root, name);
    let number = root.chunks[at].1;
    memory.grew(size_of::<E>());
    let chunk: &mut Chunk<E> = changed(memory, list.chunk(number));
    chunk.items.push(item);
    if chunk.items.len() > most(true, count) {
        let items = std::mem::take(&mut chunk.items);
        let (_, left, middle, right) = split(memory, &items);
        changed::<Chunk<E>>(memory, list.chunk(number)).items = left;
        let root: &mut Root<E> = changed(memory, list.root());
        let next = root.next_chunk;
        root.next_chunk += 1;
        root.chunks.insert(at + 1, (middle, next));
        memory.put(list.chunk(next), E::chunk_value(Chunk { items: right }));
    }
}

/// The lower half and the upper half by name, each after its first name.
fn split<E: Item>(memory: &Memory, items: &[E]) -> (Username, Vec<E>, Username, Vec<E>) {
    let sorted = sorted(memory, items).expect("all names were read before");
    let (left, right) = sorted.split_at(sorted.len() / 2);
    let items = |half: &[(Username, E)]| half.iter().map(|(_, item)| *item).collect();
    (left[0].0, items(left), right[0].0, items(right))
}

/// Takes away the user `no`, whose name is `name`, and who is there.
pub(crate) fn remove<E: Item>(memory: &mut Memory, list: List<E>, name: &Username, no: UserNo) {
    let Ok(Some(root)) = memory.get::<Root<E>>(list.root()) else {
        return;
    };
    if root.chunks.is_empty() {
        let root: &mut Root<E> = changed(memory, list.root());
        root.leaf.retain(|item| item.no() != no);
        if root.leaf.is_empty() {
            memory.put(list.root(), Value::Absent);
        }
        return;
    }
    let at = place(root, name);
    let number = root.chunks[at].1;
    let chunk: &mut Chunk<E> = changed(memory, list.chunk(number));
    chunk.items.retain(|item| item.no() != no);
    if chunk.items.is_empty() {
        memory.put(list.chunk(number), Value::Absent);
        let root: &mut Root<E> = changed(memory, list.root());
        root.chunks.remove(at);
        if root.chunks.is_empty() {
            memory.put(list.root(), Value::Absent);
        }
    }
}

fn changed<T: Stored>(memory: &mut Memory, key: Key) -> &mut T {
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
    use crate::view::keys::user::{self, UserRecord};
    use crate::view::tests::Draw;

    fn name(number: u64) -> Username {
        Username::parse(&format!("n{number:05}")).unwrap()
    }

    fn no(number: u64) -> UserNo {
        UserNo(u32::try_from(number).unwrap())
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

        fn insert(&mut self, list: List<Edge>, number: u64, count: usize) {
            let (name, no) = (name(number), no(number));
            let record = UserRecord {
                name,
                created_at_ms: 0,
                following: 0,
                followers: 0,
            };
            self.memory.put(user::key(no), record);
            assert!(self.read(|m| edge(m, list, &name, no)).is_none());
            let count = count as u64;
            self.read(|m| room(m, list, &name, count));
            let seq = Seq::new(number, 0);
            insert(&mut self.memory, list, &name, Edge { no, seq }, count);
        }

        fn remove(&mut self, list: List<Edge>, number: u64) {
            let (name, no) = (name(number), no(number));
            assert!(self.read(|m| edge(m, list, &name, no)).is_some());
            remove(&mut self.memory, list, &name, no);
        }

        fn check(&mut self, list: List<Edge>, model: &BTreeSet<u64>) {
            let expected: Vec<Username> = model.iter().map(|n| name(*n)).collect();
            let all = self.read(|m| {
                let mut all = Vec::new();
                for_each(m, list, |edge| all.push(name(edge.no.0.into())))?;
                all.sort_unstable();
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
                paged.extend(page.iter().map(|(name, _)| *name));
                if page.len() < 201 {
                    break;
                }
            }
            assert!(paged == expected);
            // Between any two, before the first and after the last.
            for number in model.iter().flat_map(|n| [n.saturating_sub(1), *n, n + 1]) {
                let (name, no) = (name(number), no(number));
                let found = self.read(|m| edge(m, list, &name, no));
                assert_eq!(found.is_some(), model.contains(&number), "{name}");
            }
        }

        /// Every chunk that is in memory is named by the directory, and none is empty.
        fn check_chunks(&mut self, list: List<Edge>) {
            let root = self.read(|m| Ok(m.get::<Root<Edge>>(list.root())?.cloned()));
            let Some(root) = root else {
                for chunk in 0..200 {
                    let chunk = list.chunk(chunk);
                    assert!(self.read(|m| Ok(m.get::<Chunk<Edge>>(chunk)?.is_none())));
                }
                return;
            };
            for (_, chunk) in &root.chunks {
                let key = list.chunk(*chunk);
                let edges = self.read(|m| Ok(m.need::<Chunk<Edge>>(key)?.items.len()));
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
