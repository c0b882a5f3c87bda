//! Every command in every document is run; those that no test can run are known to the programs.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::Command;

use sns_docs::{How, Page, documents, root, run, spoken};

/// Where cargo put the programs: this test stands in `deps` beside them.
fn bin() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let bin = here.parent().unwrap().parent().unwrap().to_path_buf();
    let built = ["sns", "sns-server", "sns-chaos"];
    let missing = built.iter().find(|name| !bin.join(name).exists());
    assert!(
        missing.is_none(),
        "{missing:?} is not built: run `cargo test`, or `cargo build` before"
    );
    bin
}

fn page(document: &str) -> Page {
    Page::parse(&std::fs::read_to_string(root().join(document)).unwrap())
}

macro_rules! documents_with_commands {
    ($($name:ident => $path:literal,)*) => {
        const RUN: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                run($path, &page($path).blocks, &bin()).unwrap_or_else(|why| panic!("{why}"));
            }
        )*
    };
}

documents_with_commands! {
    the_readme_works => "README.md",
    reliability_works => "docs/reliability.md",
    tls_works => "docs/tls.md",
    web_works => "docs/web.md",
    jetstream_works => "docs/jetstream.md",
    nats_works => "deploy/nats/README.md",
    embedding_works => "docs/embedding.md",
    log_format_works => "docs/log-format.md",
    protocol_works => "docs/protocol.md",
    install_works => "docs/install.md",
    upgrade_works => "docs/upgrade.md",
    backup_works => "docs/backup.md",
    export_format_works => "docs/export-format.md",
    course_works => "docs/course.md",
}

#[test]
fn a_document_fails_with_the_first_command_that_does() {
    let ends = |markdown: &str| run("this", &Page::parse(markdown).blocks, &bin());
    let wrong = ends("```sh\ntrue\n```\n\n```sh\nls nowhere | cat\ntrue\n```\n").unwrap_err();
    assert!(wrong.contains("line 5 "), "{wrong}");
    let wrong = ends("```sh\nsns-server up --no-such\n```\n").unwrap_err();
    assert!(wrong.contains("--no-such"), "{wrong}");
    let wrong = ends("```sh background\necho broken >&2\n```\n").unwrap_err();
    assert!(wrong.contains("broken"), "{wrong}");
    ends("```sh background\necho up; sleep 100\n```\n```sh\nsleep 50 # Ctrl-C\n```\n").unwrap();
}

#[test]
fn every_document_with_commands_is_run() {
    for document in documents() {
        let name = document.to_str().unwrap();
        let runs = |how: &How| matches!(how, How::Run | How::Background);
        let has = page(name).blocks.iter().any(|block| runs(&block.how));
        assert!(
            !has || RUN.contains(&name),
            "{name} has commands: name it in {}",
            file!()
        );
    }
}

#[test]
fn commands_that_no_test_runs_are_known_to_the_programs() {
    let bin = bin();
    let mut wrong = Vec::new();
    for document in documents() {
        let name = document.to_str().unwrap();
        for block in page(name).blocks {
            if !matches!(block.how, How::NotRun(_)) {
                continue;
            }
            for call in spoken(&block.text) {
                // With --help behind it clap checks what stands before, and does nothing.
                let output = Command::new(bin.join(&call.program))
                    .args(&call.words)
                    .arg("--help")
                    .env_clear()
                    .output()
                    .unwrap();
                if !output.status.success() {
                    let told = String::from_utf8_lossy(&output.stderr).into_owned();
                    wrong.push(format!("{name}:{}: {call:?}: {told}", block.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The flags that a program, or one of its subcommands, knows, by its own help.
fn help(bin: &std::path::Path, program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(bin.join(program))
        .args(words)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(help)
}

#[test]
fn flags_in_sentences_and_grammars_exist() {
    let bin = bin();
    let mut wrong = Vec::new();
    let mut known = std::collections::HashMap::new();
    for document in documents() {
        let name = document.to_str().unwrap().to_owned();
        let page = page(&name);
        let grammars = page.blocks.iter().filter(|block| block.how == How::Text);
        let lines = grammars.flat_map(|b| b.text.lines().map(|line| (b.line, line.to_owned())));
        for (line, text) in lines.chain(page.code.clone()) {
            // Two calls of one line of a grammar stand far apart.
            for call in text.split("    ").filter(|call| !call.is_empty()) {
                let call = call.trim().trim_matches('`');
                let Some(program) = ["sns-server", "sns"]
                    .into_iter()
                    .find(|p| call.starts_with(&format!("{p} ")))
                else {
                    continue;
                };
                let words: Vec<&str> = call.split_whitespace().skip(1).collect();
                let lower = |c: char| c.is_ascii_lowercase() || "-|".contains(c);
                // `sns -u alice` in front of what alice does.
                let named = usize::from(words.first() == Some(&"-u")) * 2;
                let subs = words.iter().skip(named);
                let subs = subs.take_while(|w| w.chars().all(lower) && !w.starts_with('-'));
                let subs = subs.take(2);
                let mut ways: Vec<Vec<&str>> = vec![Vec::new()];
                for either in subs {
                    ways = ways
                        .iter()
                        .flat_map(|way| either.split('|').map(|one| [&**way, &[one]].concat()))
                        .collect();
                }
                let flags: Vec<&str> = words
                    .iter()
                    .map(|word| {
                        word.trim_start_matches('[')
                            .trim_end_matches([']', ',', '.', ';'])
                    })
                    .filter(|word| word.starts_with("--"))
                    .map(|flag| flag.split('=').next().unwrap())
                    .collect();
                for way in ways {
                    let told = known
                        .entry((program, way.join(" ")))
                        .or_insert_with(|| {
                            // `sns-server slave` in a sentence may be followed by another word.
                            let cut = (1..=way.len())
                                .rev()
                                .find_map(|n| help(&bin, program, &way[..n]));
                            cut.or_else(|| help(&bin, program, &[]).filter(|_| way.is_empty()))
                        })
                        .clone();
                    let Some(told) = told else {
                        wrong.push(format!("{name}:{line}: no `{}` in `{call}`", way.join(" ")));
                        continue;
                    };
                    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
                    let has = |flag: &str| told.split(ends).any(|word| word == flag);
                    for flag in flags.iter().filter(|flag| !has(flag)) {
                        wrong.push(format!("{name}:{line}: no {flag} in `{call}`"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
