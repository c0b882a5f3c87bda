//! `sns auth`, as a person types it, against real servers that ask for passwords.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::cluster::{Cluster, PROGRAM};

#[path = "support"]
mod support {
    pub(crate) mod cluster;
}

/// A person with a home of their own.
struct Person {
    home: tempfile::TempDir,
    router: String,
}

impl Person {
    fn new(router: &str) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            router: router.to_owned(),
        }
    }

    fn credentials(&self) -> PathBuf {
        self.home.path().join("sns/credentials.json")
    }

    fn types(&self, line: &str, stdin: &str) -> Output {
        // Built with all other programs by `cargo test`; alone: `cargo build -p sns-client`.
        let sns = Path::new(PROGRAM).with_file_name("sns");
        assert!(sns.exists(), "{} is not built", sns.display());
        let mut child = Command::new(sns)
            .args(line.split(' '))
            .env_clear()
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("SNS_ROUTER", &self.router)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // One that asks nothing may be gone already.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn does(&self, line: &str, stdin: &str) -> String {
        let output = self.types(line, stdin);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and the reason.
    #[track_caller]
    fn cannot(&self, line: &str, stdin: &str) -> (i32, String) {
        let output = self.types(&format!("{line} --json"), stdin);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{line}");
        let error = told.lines().find(|line| line.starts_with('{'));
        let error: Value = serde_json::from_str(error.unwrap_or_else(|| panic!("{told}"))).unwrap();
        let reason = error["error"]["reason"].as_str().unwrap_or_default();
        (output.status.code().unwrap(), reason.to_owned())
    }
}

#[test]
fn a_person_makes_a_name_logs_in_and_out_and_switches() {
    let cluster = Cluster::start_with(1, &["--auth", "accounts"]);
    let (alice, thief) = (Person::new(&cluster.url), Person::new(&cluster.url));

    // Without a password nobody gets in, and a password is no flag.
    let denied = |reason: &str| (5, reason.to_owned());
    assert_eq!(
        alice.cannot("-u alice post x", ""),
        denied("CREDENTIALS_REJECTED")
    );
    assert_eq!(alice.cannot("post x", "").0, 2);
    assert_eq!(alice.cannot("-u alice auth login --password x", "").0, 2);
    assert_eq!(
        alice.cannot("-u alice auth login", "").0,
        2,
        "no terminal to ask on"
    );
    assert_eq!(alice.cannot("auth whoami", "").0, 5);

    let word = "correct horse\n";
    let told = alice.does("-u Alice auth login --new --password-stdin", word);
    assert!(told.starts_with("you are alice, until "), "{told}");
    let mode = std::fs::metadata(alice.credentials())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(alice.credentials()).unwrap();
    assert!(
        !kept.contains("correct horse"),
        "the password is kept nowhere"
    );

    // From now on without -u, too.
    alice.does("post mine", "");
    alice.does("-u alice post mine_too", "");
    assert_eq!(alice.does("profile alice --json", "").lines().count(), 2);
    let taken = thief.cannot(
        "-u alice auth login --new --password-stdin",
        "another word\n",
    );
    assert_eq!(taken, (4, "USERNAME_TAKEN".to_owned()));
    for name in ["alice", "nobody"] {
        let line = format!("-u {name} auth login --password-stdin");
        assert_eq!(
            thief.cannot(&line, "another word\n"),
            denied("CREDENTIALS_REJECTED")
        );
    }

    alice.does("-u bob auth login --new --password-stdin", word);
    let me: Value = serde_json::from_str(&alice.does("auth whoami --json", "")).unwrap();
    assert_eq!(
        (&me["username"], &me["others"][0]),
        (&"bob".into(), &"alice".into())
    );
    alice.does("auth switch alice", "");
    assert!(
        alice
            .does("auth whoami", "")
            .starts_with("alice (read, post)")
    );
    assert_eq!(alice.cannot("auth switch eve", "").0, 3);

    // A login elsewhere, for reading alone; then everything is void.
    let line = "-u alice auth login --scope read --hours 1 --password-stdin";
    thief.does(line, word);
    assert_eq!(thief.cannot("post x", ""), denied("SCOPE_MISSING"));
    thief.does("timeline", "");
    alice.does("auth logout --all", "");
    assert_eq!(thief.cannot("timeline", ""), denied("TOKEN_INVALID"));
    assert_eq!(
        alice.cannot("-u alice timeline", ""),
        denied("CREDENTIALS_REJECTED")
    );

    // Another password makes every other login void; this one goes on.
    alice.does("-u alice auth login --password-stdin", word);
    thief.does("-u alice auth login --password-stdin", word);
    let words = "correct horse\nbattery staple\n";
    alice.does("-u alice auth passwd --password-stdin", words);
    alice.does("-u alice post again", "");
    assert_eq!(thief.cannot("timeline", ""), denied("TOKEN_INVALID"));
    alice.does("-u alice auth logout", "");
    assert_eq!(alice.cannot("-u alice auth whoami", "").0, 5);
}

#[test]
fn an_invitation_and_a_token_of_the_operator_are_taken_from_stdin() {
    let flags = ["--auth", "accounts", "--signup", "invited"];
    let cluster = Cluster::start_with(1, &flags);
    let carol = Person::new(&cluster.url);
    let made = |args: &[&str]| {
        let made = Command::new(PROGRAM)
            .args(args)
            .arg("--data")
            .arg(cluster.data())
            .output();
        let made = made.unwrap();
        assert!(made.status.success());
        String::from_utf8(made.stdout).unwrap()
    };
    let denied = carol.cannot(
        "-u carol auth login --new --password-stdin",
        "correct horse\n",
    );
    assert_eq!(denied, (5, "INVITATION_NEEDED".to_owned()));
    let invitation = made(&["invite", "--user", "carol"]);
    let line = "-u carol auth login --new --invited --password-stdin";
    carol.does(line, &format!("{invitation}correct horse\n"));
    carol.does("post mine", "");
    carol.does("auth logout", "");
    let lent = made(&["token", "--user", "carol", "--scope", "read,post"]);
    carol.does("auth login --token --password-stdin", &lent);
    carol.does("post again", "");
    carol.does("auth passwd --password-stdin", "\nbattery staple\n");
    carol.does("-u carol auth login --password-stdin", "battery staple\n");
}
