//! Every link leads somewhere, and every document can be found.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use sns_docs::{Page, documents, root};

fn pages() -> HashMap<PathBuf, Page> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        (path, Page::parse(&text))
    };
    documents().into_iter().map(read).collect()
}

/// `a/b/../c` as `a/c`; `None` above the top.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            other => out.push(other),
        }
    }
    Some(out)
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    for (from, page) in &pages {
        for (line, link) in &page.links {
            let mut fault =
                |why: &str| wrong.push(format!("{}:{line}: {link}: {why}", from.display()));
            if link.contains("://") || link.starts_with("mailto:") {
                // Others' pages come and go; that theirs is https can be told from here.
                if link.starts_with("http://") && !link.contains("127.0.0.1") {
                    fault("not https");
                }
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if path.is_empty() {
                Some(from.clone())
            } else {
                plain(&from.parent().unwrap().join(path))
            };
            let Some(to) = to else {
                fault("leads out of the tree");
                continue;
            };
            if !root().join(&to).exists() {
                fault("is not there");
            } else if !anchor.is_empty() {
                match pages.get(&to) {
                    Some(page) if page.anchors.iter().any(|a| a == anchor) => {}
                    Some(_) => fault("has no such heading"),
                    None => fault("is no document, and has no headings"),
                }
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fences_say_what_they_hold() {
    let mut wrong = Vec::new();
    for (from, page) in pages() {
        for (line, fault) in page.faults {
            wrong.push(format!("{}:{line}: {fault}", from.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let pages = pages();
    let mut reached = BTreeSet::new();
    let mut open = vec![PathBuf::from("README.md")];
    while let Some(from) = open.pop() {
        if !reached.insert(from.clone()) {
            continue;
        }
        for (_, link) in pages
            .get(&from)
            .map(|page| &*page.links)
            .unwrap_or_default()
        {
            let path = link.split('#').next().unwrap();
            let to = plain(&from.parent().unwrap().join(path)).unwrap_or_default();
            if pages.contains_key(&to) {
                open.push(to);
            } else if root().join(&to).is_dir() {
                open.extend(pages.keys().filter(|p| p.parent() == Some(&to)).cloned());
            }
        }
    }
    let lost: Vec<_> = pages.keys().filter(|p| !reached.contains(*p)).collect();
    assert!(lost.is_empty(), "nothing leads to {lost:?}");
}
