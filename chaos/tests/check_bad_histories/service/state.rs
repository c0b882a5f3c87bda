//! What a replica of the simulated service holds.

use std::collections::BTreeMap;
use std::rc::Rc;

use sns_chaos::history::{Micros, Seen};

use super::name;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) seq: u64,
    pub(super) since: Micros,
    pub(super) posts: Vec<BTreeMap<u64, Rc<str>>>,
    /// Of each user: whom they follow, and since which seq.
    pub(super) follows: Vec<BTreeMap<usize, u64>>,
}

impl State {
    pub(super) fn page(
        &self,
        reader: usize,
        of: Option<usize>,
        below: u64,
        size: usize,
    ) -> (Vec<(u64, usize)>, bool) {
        let authors: Vec<usize> = match of {
            Some(author) => vec![author],
            None => self.follows[reader]
                .keys()
                .copied()
                .chain([reader])
                .collect(),
        };
        let mut found = Vec::new();
        for author in authors {
            let posts = self.posts[author].range(..below).rev();
            found.extend(
                posts
                    .take(size.saturating_add(1))
                    .map(|(id, _)| (*id, author)),
            );
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        let more = found.len() > size;
        found.truncate(size);
        (found, more)
    }

    pub(super) fn seen(&self, (id, author): (u64, usize)) -> Seen {
        let text = self.posts[author][&id].to_string();
        let author = name(author);
        Seen { id, author, text }
    }
}
