//! Descriptors: every connection takes one, and a process has only so many.

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use super::{Verdict, unavailable};
use crate::net::{OTHER_DESCRIPTORS, PAGE_CONNECTIONS, PARTNER_CONNECTIONS};

#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// What a process may have at most; `None`: any number.
    most: Option<u64>,
    /// `--max-connections`
    connections: usize,
    /// There are pages.
    pages: bool,
}

impl Facts {
    pub(super) fn gather(connections: usize, pages: bool) -> Self {
        Self {
            // Servers take all that they may have, so the other bound does not matter.
            most: getrlimit(Resource::Nofile).maximum,
            connections,
            pages,
        }
    }

    /// What one process takes with every place taken.
    fn needed(&self) -> u64 {
        let pages = if self.pages {
            PAGE_CONNECTIONS.min(self.connections)
        } else {
            0
        };
        let all = self.connections + pages + PARTNER_CONNECTIONS + OTHER_DESCRIPTORS;
        all as u64
    }
}

pub(super) fn judge(facts: &Facts) -> Finding {
    let needed = facts.needed();
    let Some(most) = facts.most.filter(|most| *most < needed) else {
        let most = facts
            .most
            .map_or("any number".to_owned(), |most| most.to_string());
        let found = format!("a process may have {most}; with every connection it takes {needed}");
        return Finding::ok("descriptors", found);
    };
    let more = format!(
        "raise the bound to {needed}: LimitNOFILE= of a unit, `ulimit -Hn`, --ulimit nofile= of a \
         container; or ask for fewer with --max-connections"
    );
    // Two times what files take: with less, files and connections are in each other's way.
    let fewest = 2 * OTHER_DESCRIPTORS as u64;
    Finding {
        verdict: if most < fewest {
            unavailable()
        } else {
            Verdict::Warn
        },
        ..Finding::warn(
            "descriptors",
            format!(
                "a process may have {most}, and takes {needed} with --max-connections {}: \
                 connections are refused before that",
                facts.connections
            ),
            more,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sns_core::ErrorKind;

    fn verdict(most: Option<u64>, connections: usize) -> Verdict {
        let facts = Facts {
            most,
            connections,
            pages: true,
        };
        judge(&facts).verdict
    }

    #[test]
    fn few_descriptors_are_a_warning_and_next_to_none_a_failure() {
        assert_eq!(verdict(None, 1_000_000), Verdict::Ok);
        // 4096 + 1024 + 64 + 256
        assert_eq!(verdict(Some(5_440), 4_096), Verdict::Ok);
        assert_eq!(verdict(Some(5_439), 4_096), Verdict::Warn);
        assert_eq!(verdict(Some(512), 4_096), Verdict::Warn);
        assert_eq!(
            verdict(Some(511), 4_096),
            Verdict::Fail(ErrorKind::Unavailable)
        );
        // Who asks for few gets by with few: 10 + 10 + 64 + 256.
        assert_eq!(verdict(Some(340), 10), Verdict::Ok);
    }
}
