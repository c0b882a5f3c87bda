//! Where the documents are.

use std::path::{Path, PathBuf};

/// Directories that hold none of ours.
const SKIPPED: &[&str] = &["target", "corpus", "node_modules"];

/// The top of the tree.
///
/// # Panics
/// This crate has no directory above it.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("docs stands in the tree")
        .to_path_buf()
}

/// All documents, by their path from [`root`], sorted.
///
/// # Panics
/// A directory cannot be read.
pub fn documents() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("the tree can be read") {
            let path = entry.expect("the tree can be read").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_symlink() || name.starts_with('.') || SKIPPED.contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path.strip_prefix(&root).expect("below").to_path_buf());
            }
        }
    }
    found.sort();
    found
}
