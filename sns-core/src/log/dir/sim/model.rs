//! What must hold, whatever happens: the promises as checks.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::{LogId, Record, Witness};

#[derive(Debug, Default)]
pub(super) struct Model {
    /// Entries that somebody was told of or has read: they never change, and never go.
    must: BTreeMap<u64, Vec<u8>>,
    places: HashMap<Vec<u8>, u64>,
    refused: HashSet<Vec<u8>>,
    /// Up to where trimming was asked for.
    trimmed: u64,
    pub(super) acknowledged: u64,
    pub(super) views: Vec<Option<Witness>>,
    pub(super) violation: Option<String>,
}

impl Model {
    pub(super) fn new(processes: usize) -> Self {
        Self {
            views: vec![None; processes],
            ..Self::default()
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// The newest entry that anybody knows.
    pub(super) fn newest(&self) -> u64 {
        self.must.keys().next_back().copied().unwrap_or_default()
    }

    /// The entries from `head` on that must be there.
    pub(super) fn known(&self, head: u64) -> Vec<u64> {
        self.must.range(head..).map(|(index, _)| *index).collect()
    }

    fn stands(&mut self, index: u64, payload: &[u8], how: &str) {
        let text = String::from_utf8_lossy(payload).into_owned();
        if self.must.get(&index).is_some_and(|known| known != payload) {
            self.fail(format!(
                "entry {index} is {text}, {how}, and was another before"
            ));
        }
        if self
            .places
            .get(payload)
            .is_some_and(|place| *place != index)
        {
            self.fail(format!("{text} stands twice, at {index} too, {how}"));
        }
        if self.refused.contains(payload) {
            self.fail(format!("{text} was refused, and is entry {index}, {how}"));
        }
        self.must.insert(index, payload.to_vec());
        self.places.insert(payload.to_vec(), index);
    }

    pub(super) fn acknowledge(&mut self, index: u64, payload: &[u8]) {
        self.acknowledged += 1;
        self.stands(index, payload, "as acknowledged");
    }

    pub(super) fn refuse(&mut self, payload: &[u8]) {
        if self.places.contains_key(payload) {
            let text = String::from_utf8_lossy(payload);
            self.fail(format!("{text} was refused, and had been read"));
        }
        self.refused.insert(payload.to_vec());
    }

    /// A read from `from`; all up to `newest` must be readable since before it began.
    pub(super) fn read(&mut self, from: u64, newest: u64, records: &[Record]) {
        for (record, index) in records.iter().zip(from..) {
            if record.index != index {
                self.fail(format!("entry {} was read for {index}", record.index));
            }
            self.stands(index, &record.payload, "as read");
        }
        if records.is_empty() && from <= newest {
            self.fail(format!(
                "a read from {from} found nothing, and {newest} was known"
            ));
        }
    }

    pub(super) fn tail(&mut self, newest: u64, tail: u64) {
        if tail <= newest {
            self.fail(format!("the tail is {tail}, and {newest} was known before"));
        }
    }

    pub(super) fn ask_to_trim(&mut self, index: u64) {
        self.trimmed = self.trimmed.max(index);
    }

    pub(super) fn head(&mut self, head: u64) {
        if head > self.trimmed + 1 {
            self.fail(format!(
                "the head is {head}, trimming was asked up to {}",
                self.trimmed
            ));
        }
    }

    /// Everything was read from `head` on: all of `known` has to be there.
    pub(super) fn all(&mut self, known: &[u64], head: u64, records: &[Record]) {
        self.head(head);
        let last = head + records.len() as u64;
        if let Some(lost) = known
            .iter()
            .find(|index| **index >= head && **index >= last)
        {
            self.fail(format!("entry {lost} is lost: the log ends before {last}"));
        }
    }

    /// A view has come to this entry, and the power may be cut.
    pub(super) fn view(&mut self, who: usize, log_id: LogId, record: &Record) {
        let newer = |view: &Witness| view.index < record.index;
        if self.views[who].as_ref().is_none_or(newer) {
            self.views[who] = Some(Witness {
                name: format!("view of p{who}"),
                log_id,
                index: record.index,
                crc: record.crc,
            });
        }
    }
}
