//! Completions and manual pages of `sns`.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

use std::process::{Command, Output};

fn run(line: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_sns"))
        .args(line)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| line.starts_with("  "));
    // Further lines of a text are indented deeper.
    let names = names.filter(|line| !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_command_has_a_page_and_nobody_has_to_be_somebody_for_that() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("man");
    run(&["man", "--out", out.to_str().unwrap()]);
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for command in &commands {
        let page = std::fs::read_to_string(out.join(format!("sns-{command}.1"))).unwrap();
        assert!(
            page.contains("EXIT STATUS") && page.contains("SEE ALSO"),
            "{command}"
        );
    }
    let login = std::fs::read_to_string(out.join("sns-auth-login.1")).unwrap();
    assert!(login.contains("credentials.json"));
    let main = run(&["man"]).stdout;
    assert_eq!(main, std::fs::read(out.join("sns.1")).unwrap());
}

#[test]
fn bash_can_read_its_completions_and_completes_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("sns");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).unwrap();
    let ask = format!(
        "source {}; COMP_WORDS=(sns unf); COMP_CWORD=1; _sns sns unf sns; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &ask])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "unfollow\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let text = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        assert!(text.contains("unfollow"), "{shell}");
    }
}
