//! The interactive mode over a real terminal of 60 columns: what a person sees, and how the
//! terminal is left.

mod sitting;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../src/terminal.rs"]
mod terminal;

use crate::fake::{Fault, Setup, wait_until};
pub(crate) use sitting::Sitting;

/// Alice at a terminal of 60 columns, with a home of her own.
async fn alice(setup: &Setup, home: &tempfile::TempDir) -> Sitting {
    let sitting = Sitting::at(setup, home, &["-u", "alice"], (60, 24));
    sitting.sees("HELP lists the commands\n>").await;
    sitting
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_names_complete() {
    let (setup, home) = (Setup::of(2).await, home());
    let names = ["bartholomew", "bob", "bobby"].map(str::to_owned);
    setup.world.history().users.extend(names);
    let mut alice = alice(&setup, &home).await;
    alice.types("unf\t").await;
    alice.sees("\n> unfollow\n").await;
    // The names come behind her back: until they are there, Tab finds none.
    alice
        .types_until("\t", "> unfollow bartholomew\n", "ba")
        .await;
    alice.types("\r").await;
    alice.sees("\nno longer following bartholomew\n").await;
    alice.types("FOL\tBO\t\t").await;
    alice.sees("\nbob    bobby\n").await;
    alice.sees("\n> FOLLOW bob\n").await;
    alice.types("\r").await;
    alice.sees("\nfollowing bob\n").await;
    // Typed ahead of the answers, no line is lost.
    alice.types("FOLLOW a1\rFOLLOW a2\rFOLLOW a3\r").await;
    alice.sees("\nfollowing a1\n").await;
    alice.sees("\nfollowing a2\n").await;
    alice.sees("\nfollowing a3\n").await;
    // In a post nothing is put into her mouth.
    alice.types("tim\t\r").await;
    alice.sees("\npost>\n").await;
    alice.types("unf\t!\r").await;
    alice.sees("alice: unf!\n").await;
    assert_eq!(setup.world.texts(), ["unf!"]);
    alice.types("\x03").await;
    alice.sees("\n>\n").await;
    alice.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_kept_for_the_next_session_and_posts_are_not() {
    let (setup, home) = (Setup::of(2).await, home());
    let mut one = alice(&setup, &home).await;
    one.types("FOLLOW bob\r").await;
    one.sees("\nfollowing bob\n").await;
    one.types("a secret, at the wrong prompt\r").await;
    one.sees("no such command").await;
    one.types("TIMELINE\r").await;
    one.sees("\npost>\n").await;
    one.types("dear diary\r").await;
    one.sees("alice: dear diary\n").await;
    // A post comes back in the timeline of this session.
    one.types("\x1b[A").await;
    one.sees("\npost> dear diary\n").await;
    one.types("\x15\x04").await;
    one.sees("\n>\n").await;
    let mut two = alice(&setup, &home).await;
    two.types("LIST\r").await;
    two.sees("\nalice\n").await;
    one.leaves().await;
    two.leaves().await;

    let path = home.path().join("sns/history");
    let text = std::fs::read_to_string(&path).expect("kept");
    assert_eq!(text, "FOLLOW bob\nTIMELINE\nLIST\nEXIT\nEXIT\n");
    let mut three = alice(&setup, &home).await;
    three.types("\x1b[A\x1b[A").await;
    three.sees("\n> LIST\n").await;
    // Ctrl-R.
    three.types("\x15\x12bob").await;
    three.sees("FOLLOW bob").await;
    three.types("\r").await;
    three.sees("\nfollowing bob\n").await;
    three.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_history_is_no_failure() {
    let (setup, home) = (Setup::of(1).await, home());
    std::fs::create_dir_all(home.path().join("sns/history")).expect("in its way");
    let mut alice = Sitting::at(&setup, &home, &["-u", "alice"], (60, 24));
    alice.sees("~ no history in ").await;
    alice.types("LIST\r").await;
    alice.sees("\nalice\n").await;
    alice.leaves().await;
    let off = home.path().join("off");
    let args = ["-u", "alice", "--history", "off"];
    let mut quiet = Sitting::at(&setup, &home, &args, (60, 24));
    quiet.sees("\n>\n").await;
    assert!(!quiet.text().contains("~ no history"));
    quiet.leaves().await;
    assert!(!off.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_arrive_above_the_line_being_typed() {
    let (setup, home) = (Setup::of(2).await, home());
    let mut alice = alice(&setup, &home).await;
    alice.types("timeline\r").await;
    alice.sees("\npost>\n").await;
    alice.types("short and half").await;
    alice.sees("\npost> short and half\n").await;
    setup.world.post("", "bob", "first");
    alice.sees("bob: first\npost> short and half\n").await;
    // Longer than the terminal is wide, wide letters among them.
    alice
        .types(" 日本語 and then so much more of it that it takes two rows")
        .await;
    let typed =
        "\npost> short and half 日本語 and then so much more of it that\n it takes two rows\n";
    alice.sees(typed).await;
    setup.world.post("", "bob", "two\nlines");
    setup.world.post(
        "",
        "carol",
        "日本語 that is wrapped where the terminal ends, and not in the midst of a word",
    );
    alice
        .sees(&format!(
            "where the\n            terminal ends, and not in the midst of a word{typed}"
        ))
        .await;
    let text = alice.text();
    assert!(text.contains("bob: two\n            lines\n"), "{text}");
    for n in 0..100 {
        setup.world.post("", "dave", &format!("number {n}"));
        if n % 10 == 0 {
            alice.types("x").await;
        }
    }
    alice.sees("dave: number 99\npost> short and half").await;
    alice.sees("it takes two rowsxxxxxxxxxx\n").await;
    let text = alice.text();
    assert_eq!(text.matches("short and half").count(), 1, "{text}");
    alice.types("\x1b[H\x1b[3~\x1b[3~\r").await;
    alice.sees("alice: ort and half").await;
    alice.types("\x04").await;
    alice.sees("\n>\n").await;
    alice.leaves().await;
    let last = setup.world.texts().pop().expect("posted");
    assert_eq!(
        last,
        "ort and half 日本語 and then so much more of it that it takes two rowsxxxxxxxxxx"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_others_leaves_the_terminal_alone() {
    let (setup, home) = (Setup::of(1).await, home());
    let mut alice = alice(&setup, &home).await;
    alice.types("timeline\r").await;
    alice.sees("\npost>\n").await;
    alice.types("mine").await;
    setup.world.post(
        "",
        "bob",
        "\x1b[2J\x1b]0;owned\x07 \u{202e}x\n12:00  carol: forged",
    );
    alice.sees("\npost> mine\n").await;
    alice
        .sees("bob: \\u{1b}[2J\\u{1b}]0;owned\\u{7} \\u{202e}x\n            12:00  carol: forged\n")
        .await;
    alice.types("\x03").await;
    alice.sees("\n>\n").await;
    alice.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_one_quiet_line() {
    let (mut setup, home) = (Setup::of(2).await, home());
    let mut alice = alice(&setup, &home).await;
    alice.types("timeline\r").await;
    alice.sees("\npost>\n").await;
    setup.world.post("", "bob", "before");
    alice.sees("bob: before\n").await;
    alice.types("half a line").await;
    let (a, b) = (setup.nodes[0].address(), setup.nodes[1].address());
    setup.nodes[0].wire.cut().await;
    setup.world.post("", "bob", "after");
    alice.sees("bob: after\npost> half a line\n").await;
    let text = alice.text();
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with('~')).collect();
    assert_eq!(told.len(), 1, "{text}");
    if told[0].contains("no server") {
        // A machine so slow that the person was told of the wait. It is resumed all the same.
        return;
    }
    let expected = format!("~ {a} is gone; now at {b} (");
    assert!(
        told[0].starts_with(&expected) && told[0].ends_with(" ms)"),
        "{text}"
    );
    assert!(alice.is_dim(told[0]), "{text}");

    // Nobody is left: said once; and once more when somebody comes back.
    setup.nodes[1].wire.cut().await;
    alice
        .sees(&format!("~ {b} is gone; no server answers; still trying\n"))
        .await;
    setup.nodes[1].wire.mend().await;
    alice.sees(&format!("~ now at {b} (")).await;
    alice.sees("\npost> half a line\n").await;
    let text = alice.text();
    let told = text.lines().filter(|line| line.starts_with('~'));
    assert_eq!(told.count(), 3, "{text}");
    alice.types("\x03").await;
    alice.sees("\n>\n").await;
    alice.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_when_it_is_told_to_end() {
    let (setup, home) = (Setup::of(1).await, home());
    for (signal, code) in [
        (rustix::process::Signal::TERM, 143),
        (rustix::process::Signal::HUP, 129),
    ] {
        for args in [&["-u", "alice"][..], &["top"]] {
            let mut sitting = Sitting::at(&setup, &home, args, (60, 24));
            if args == ["top"] {
                sitting.sees("q quits").await;
            } else {
                sitting.sees("\n>\n").await;
                sitting.types("half a line").await;
                sitting.sees("> half a line\n").await;
            }
            assert!(sitting.is_raw());
            sitting.signal(signal);
            assert_eq!(sitting.ends().await, code, "{args:?}");
            sitting.is_as_found();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_after_all_servers_died() {
    let (mut setup, home) = (Setup::of(2).await, home());
    let mut alice = alice(&setup, &home).await;
    alice.types("timeline\r").await;
    alice.sees("\npost>\n").await;
    for node in &mut setup.nodes {
        node.wire.cut().await;
    }
    setup.router.wire.cut().await;
    alice.sees("no server answers; still trying\n").await;
    alice.types("\x03").await;
    alice.sees("\n>\n").await;
    alice.types("half a line\x03").await;
    alice.sees("\n> half a line\n>\n").await;
    alice.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_when_the_data_is_another() {
    let (setup, home) = (Setup::of(1).await, home());
    let mut alice = alice(&setup, &home).await;
    // The stream ends under the line being typed, which is then no command.
    alice.types("timeline\r").await;
    alice.sees("\npost>\n").await;
    alice.types("exit").await;
    alice.sees("\npost> exit\n").await;
    // The next call is then the one that goes on with the stream.
    let mut listed = 0;
    wait_until("the names are fetched", || {
        let saw = setup.nodes[0].saw();
        listed += saw.iter().filter(|saw| saw.method == "list_users").count();
        listed == 2
    })
    .await;
    setup.nodes[0].fail(&[Fault::Refuse(sns_client::Reason::SeqUnknown)]);
    let mut setup = setup;
    setup.nodes[0].wire.cut().await;
    setup.nodes[0].wire.mend().await;
    alice.sees("error: told to refuse").await;
    alice.types("\r").await;
    alice
        .sees("error: the timeline had ended; that was not posted\n")
        .await;
    alice.sees("\n>\n").await;
    alice.leaves().await;
}

/// The code that the program uses to give the terminal back, in a child that panics.
mod guard {
    use super::terminal;

    const CHILD: &str = "SNS_TEST_PANICS";

    /// Run again by the test below, on a terminal of its own; by itself it does nothing.
    #[test]
    fn a_child_that_panics_in_another_thread() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let kept = terminal::Terminal::keep().expect("a terminal");
        kept.take_screen().expect("taken");
        terminal::write("raw\r\n").expect("written");
        let mut line = [0];
        std::io::Read::read_exact(&mut std::io::stdin(), &mut line).expect("told to go on");
        let other = std::thread::spawn(|| panic!("in another thread"));
        drop(other.join());
        unreachable!("the program ended");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_any_thread_gives_the_terminal_back() {
        let this = std::env::current_exe().expect("this program");
        let name = "term::guard::a_child_that_panics_in_another_thread";
        let child = pty_process::Command::new(this)
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, "1");
        let mut sitting = super::Sitting::of(child, (60, 24));
        sitting.sees("raw\n").await;
        assert!(sitting.is_raw() && sitting.is_on_a_screen_of_its_own());
        sitting.types("x").await;
        assert_eq!(sitting.ends().await, 101);
        sitting.is_as_found();
        let text = sitting.text();
        assert!(text.contains("in another thread"), "{text}");
    }
}
