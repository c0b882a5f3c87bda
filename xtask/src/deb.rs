//! `cargo xtask deb`: both programs with their manual pages, completions and units as one
//! package for Debian, in `target/dist`. The list of what is in it stands in `sns-server/Cargo.toml`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::{finish, say};

/// Both programs, and the package that each is built from.
const PROGRAMS: [(&str, &str); 2] = [("sns-server", "sns-server"), ("sns", "sns-client")];

pub(crate) fn usage() {
    say("       cargo xtask deb      the package for Debian, in target/dist; needs cargo-deb");
}

pub(crate) fn run(args: &[String]) -> ExitCode {
    if !args.is_empty() {
        usage();
        return ExitCode::from(2);
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("failed: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let version = Command::new(env!("CARGO"))
        .args(["deb", "--version"])
        .output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err("cargo-deb is missing: cargo install cargo-deb --locked".to_owned());
    }
    let mut command = Command::new(env!("CARGO"));
    // Alone, so that nothing in them is there for the sake of a test.
    command.args(["build", "--release"]);
    command.args(PROGRAMS.iter().flat_map(|(_, package)| ["-p", package]));
    say(&format!("{command:?}"));
    finish(&mut command)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = root.join("target/release");
    let dist = root.join("target/dist");
    pages_and_completions(&built, &dist)?;
    let mut command = Command::new(env!("CARGO"));
    command
        // What debuggers need is a package of its own.
        .args(["deb", "--no-build", "--dbgsym", "-p", "sns-server"])
        .arg("--output")
        .arg(&dist);
    finish(&mut command)
}

/// The programs write them themselves, so they cannot be those of another version.
fn pages_and_completions(built: &Path, dist: &Path) -> Result<(), String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    if dist.exists() {
        fs::remove_dir_all(dist).map_err(failed(dist))?;
    }
    for (program, _) in PROGRAMS {
        let path = built.join(program);
        finish(
            Command::new(&path)
                .args(["man", "--out"])
                .arg(dist.join("man")),
        )?;
        let files: [(&str, String); 3] = [
            ("bash", program.to_owned()),
            ("zsh", format!("_{program}")),
            ("fish", format!("{program}.fish")),
        ];
        for (shell, name) in files {
            let dir: PathBuf = dist.join(shell);
            fs::create_dir_all(&dir).map_err(failed(&dir))?;
            let to = dir.join(name);
            let file = File::create(&to).map_err(failed(&to))?;
            finish(
                Command::new(&path)
                    .args(["completions", shell])
                    .stdout(file),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn read(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::read_to_string(root.join(path)).expect(path)
    }

    #[test]
    fn the_package_has_the_version_of_the_workspace() {
        let manifest = read("Cargo.toml");
        let mut lines = manifest
            .lines()
            .skip_while(|line| *line != "[workspace.package]");
        let version = lines
            .find_map(|line| line.strip_prefix("version = "))
            .expect("a version");
        let version = version.trim_matches('"');
        let changelog = read("deploy/debian/changelog");
        assert!(
            changelog.starts_with(&format!("sns ({version}-")),
            "{changelog}"
        );
    }

    #[test]
    fn the_licence_of_the_package_is_that_of_the_source() {
        let copyright = read("deploy/debian/copyright");
        let plain = |text: &str| {
            text.split_whitespace()
                .filter(|word| *word != ".")
                .collect::<Vec<_>>()
                .join(" ")
        };
        let mit = plain(&read("LICENSE-MIT"));
        let (_, permission) = mit.split_once("Permission is hereby").expect("MIT");
        assert!(plain(&copyright).contains(permission), "{permission}");
    }
}
