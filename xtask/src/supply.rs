//! What we build with: the lock file, licences, bans, sources, advisories.

use std::process::{Command, ExitCode};

use crate::say;

/// The crates are fetched; then the checks of them need no network, but for the advisories, which are
/// looked at where their database can be had.
pub(crate) fn run() -> ExitCode {
    if !cargo(
        &["metadata", "--locked", "--format-version", "1", "--no-deps"],
        true,
    ) {
        say("failed: Cargo.lock does not fit the manifests: build once, look at it, and commit it");
        return ExitCode::FAILURE;
    }
    if !cargo(&["deny", "--version"], true) {
        say("cargo-deny is missing: cargo install cargo-deny --locked");
        return ExitCode::FAILURE;
    }
    // Also those for other systems, which no build on this one asks for.
    if !cargo(&["fetch", "--locked", "--quiet"], false) {
        say("failed: the crates of Cargo.lock cannot be had");
        return ExitCode::FAILURE;
    }
    // All members: without the flag only the package at the root is looked at, and what it needs.
    let offline = ["deny", "--offline", "--workspace", "check"];
    if !cargo(
        &[&offline[..], &["bans", "licenses", "sources"]].concat(),
        false,
    ) {
        say("failed: bans, licences or sources; deny.toml says why each is there");
        return ExitCode::FAILURE;
    }
    if !cargo(&["deny", "fetch", "db"], true) {
        say("the RustSec database cannot be had: advisories were NOT checked");
        return ExitCode::SUCCESS;
    }
    if !cargo(&[&offline[..], &["advisories"]].concat(), false) {
        say(
            "failed: an advisory; upgrade, or name it in deny.toml with the reason why it does no harm",
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn cargo(args: &[&str], quiet: bool) -> bool {
    let mut command = Command::new(env!("CARGO"));
    command.args(args);
    if quiet {
        return command.output().is_ok_and(|it| it.status.success());
    }
    say(&format!("cargo {}", args.join(" ")));
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn text(path: &str) -> String {
        fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// The lines of a section of a manifest.
    fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
        let lines = manifest.lines().map(str::trim);
        let after = lines
            .skip_while(|line| *line != format!("[{name}]"))
            .skip(1);
        after.take_while(|line| !line.starts_with('[')).collect()
    }

    #[test]
    fn unsafe_code_is_forbidden_in_every_member() {
        let workspace = text("Cargo.toml");
        let lints = section(&workspace, "workspace.lints.rust");
        assert!(lints.contains(&"unsafe_code = \"forbid\""), "{lints:?}");
        let members = section(&workspace, "workspace");
        let members = members.iter().find(|line| line.starts_with("members"));
        let members: Vec<&str> = members.unwrap().split('"').skip(1).step_by(2).collect();
        assert!(members.len() > 10, "{members:?}");
        for member in members {
            let manifest = text(&format!("{member}/Cargo.toml"));
            let lints = section(&manifest, "lints");
            assert!(
                lints.contains(&"workspace = true"),
                "{member} has lints of its own"
            );
        }
    }

    #[test]
    fn the_gate_builds_what_the_lock_file_says() {
        for line in text(".ci/run")
            .lines()
            .filter(|line| line.starts_with("cargo "))
        {
            let exempt = ["cargo fmt", "cargo install"];
            let exempt = exempt.iter().any(|it| line.starts_with(it));
            assert!(exempt || line.contains("--locked"), "{line}");
        }
        for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
            assert!(text(lock).contains("[[package]]"), "{lock}");
        }
    }

    /// All functions of all Rust files.
    fn functions(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    functions(&path, found);
                }
            } else if name.ends_with(".rs") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    let rest = line.trim_start();
                    let rest = rest.strip_prefix("async ").unwrap_or(rest);
                    if let Some(rest) = rest.strip_prefix("fn ") {
                        let end = rest.find(['(', '<']).unwrap_or(rest.len());
                        found.insert(rest[..end].to_owned());
                    }
                }
            }
        }
    }

    #[test]
    fn every_test_that_the_threat_model_names_exists() {
        let mut found = BTreeSet::new();
        functions(&root(), &mut found);
        let document = text("docs/security.md");
        let mut named = 0;
        for row in document.lines().filter(|line| line.starts_with('|')) {
            let Some(tests) = row.split('|').nth(3) else {
                continue;
            };
            for name in tests.split('`').skip(1).step_by(2) {
                // Other things in the column are commands and files.
                if name.contains([' ', '/', '.']) {
                    continue;
                }
                named += 1;
                assert!(
                    found.contains(name),
                    "docs/security.md names {name}, which is not there"
                );
            }
        }
        assert!(named > 20, "the table was not found");
    }
}
