//! Completions and manual pages: of this program here, of `sns` beside its own tests.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use sns_server::args::Args;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sns-server");

fn run(line: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(line).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The pages that there have to be, by the definitions.
fn pages(command: &clap::Command, name: &str, all: &mut BTreeSet<String>) {
    all.insert(format!("{name}.1"));
    for inner in command.get_subcommands() {
        if inner.get_name() != "help" && !inner.is_hide_set() {
            pages(inner, &format!("{name}-{}", inner.get_name()), all);
        }
    }
}

#[test]
fn every_command_has_a_page_with_its_sections() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("man");
    run(&["man", "--out", out.to_str().unwrap()]);
    let mut expected = BTreeSet::new();
    let mut program = Args::command();
    program.build();
    pages(&program, "sns-server", &mut expected);
    let made = std::fs::read_dir(&out).unwrap();
    let made: BTreeSet<String> = made
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(made, expected);
    assert!(made.contains("sns-server-log-verify.1"));
    let up = std::fs::read_to_string(out.join("sns-server-up.1")).unwrap();
    for part in [
        ".TH sns\\-server\\-up",
        ".SH \"EXIT STATUS\"",
        "SNS_SERVERS",
        "SNS_CONFIG",
    ] {
        let plain = part.replace('\\', "");
        let found = up.contains(part) || up.replace('\\', "").contains(&plain);
        assert!(found, "{part} in {up}");
    }
    let main = String::from_utf8(run(&["man"]).stdout).unwrap();
    let file = std::fs::read_to_string(out.join("sns-server.1")).unwrap();
    assert_eq!(main, file);
}

#[test]
fn pages_can_be_rendered() {
    let main = run(&["man"]).stdout;
    let groff = Command::new("groff")
        .args(["-man", "-Tutf8", "-P-cbou"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut groff) = groff else {
        println!("not run: there is no groff here");
        return;
    };
    std::io::Write::write_all(&mut groff.stdin.take().unwrap(), &main).unwrap();
    let output = groff.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("EXIT STATUS"));
}

/// What `shell -n` says of a script; `None`: the shell is not there.
fn is_valid(shell: &str, script: &Path) -> Option<bool> {
    let output = Command::new(shell).arg("-n").arg(script).output().ok()?;
    Some(output.status.success())
}

#[test]
fn every_shell_is_given_something_and_its_shell_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = run(&["completions", shell]).stdout;
        let path = dir.path().join(shell);
        std::fs::write(&path, &text).unwrap();
        assert!(String::from_utf8_lossy(&text).contains("doctor"), "{shell}");
        if matches!(shell, "bash" | "zsh" | "fish")
            && let Some(valid) = is_valid(shell, &path)
        {
            assert!(valid, "{shell}");
        }
    }
    assert_eq!(is_valid("bash", &dir.path().join("bash")), Some(true));
    let refused = Command::new(PROGRAM)
        .args(["completions", "tcsh"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

/// What bash offers behind `line`, whose last word is being typed.
fn offered(script: &Path, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let ask = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={last}; \
         complete=$(complete -p sns-server); complete=${{complete#*-F }}; \
         ${{complete%% *}} 'sns-server' '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        words[last],
        words[last - 1],
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &ask])
        .output()
        .unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("sns-server.bash");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).unwrap();
    assert_eq!(offered(&script, "sns-server do"), ["down", "doctor"]);
    assert_eq!(offered(&script, "sns-server log ve"), ["verify"]);
    assert_eq!(offered(&script, "sns-server up --serv"), ["--servers"]);
    assert_eq!(offered(&script, "sns-server up --policy p"), ["p2c"]);
}
