//! What a file with settings may hold, and what is said of one that holds something else.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::layers;

fn read(text: &str) -> Result<ConfigFile> {
    ConfigFile::of_text("/x/f.toml".into(), text, &layers::program())
}

/// That `text` is refused in `line`, in words that hold all of `words`.
#[track_caller]
fn refused(text: &str, line: usize, words: &[&str]) {
    let failure = read(text).unwrap_err();
    assert_eq!(failure.exit_code(), 2, "{text}");
    let message = &failure.message;
    let place = format!("/x/f.toml:{line}: ");
    assert!(message.starts_with(&place), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} in {message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn every_kind_of_value_is_taken_as_its_flag_takes_it() {
    let file = read(
        "listen = \"127.0.0.1:0\"\nrouter = [\"http://a:1\", \"http://b:2\"]\ninsecure = true\n\
         [up]\nservers = 0x3\nrate-limits = \"off\"\n[log.verify]\ndata = \"d\"\n\
         [\"log dump\"]\ndata = 'e'\n[snapshot]\nlist = { data = \"f\" }\n",
    )
    .unwrap();
    let path = |words: &str| vec![words.split(' ').map(str::to_owned).collect::<Vec<String>>()];
    let value = |name: &str, words: &str| file.key(name, &path(words)).map(|it| it.value.clone());
    assert_eq!(value("servers", "up"), Some(Value::Number("3".into())));
    assert_eq!(value("servers", "doctor"), None);
    assert_eq!(value("insecure", "router"), Some(Value::Switch(true)));
    assert_eq!(value("data", "log verify"), Some(Value::Text("d".into())));
    assert_eq!(value("data", "log dump"), Some(Value::Text("e".into())));
    assert_eq!(
        value("data", "snapshot list"),
        Some(Value::Text("f".into()))
    );
    assert_eq!(file.key("router", &[]).unwrap().line, 2);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_what_was_meant() {
    refused(
        "listen = \"a:1\"\n\nlissten = \"a:1\"",
        3,
        &["lissten", "did you mean `listen`"],
    );
    refused("[up]\nserver = 3", 2, &["`up`", "did you mean `servers`"]);
    refused(
        "[up]\npeer-listen = \"a:1\"",
        2,
        &["`up` has no such setting"],
    );
    refused(
        "max_connections = 3",
        1,
        &["did you mean `max-connections`"],
    );
    refused(
        "colour = \"blue\"",
        1,
        &["colour", "no command has", "config show"],
    );
    refused("[upp]\nservers = 3", 2, &["did you mean `up`"]);
    refused("[log]\ndata = \"d\"", 2, &["[log.copy]", "[\"log copy\"]"]);
    refused("[man]\nout = \"d\"", 2, &["no command"]);
    refused("config = \"g.toml\"", 1, &["names no other file"]);
    refused("help = true", 1, &["no command has"]);
}

#[test]
fn tables_in_tables_without_end_are_refused() {
    let after_no_command = "named after no command";
    refused("\n[a.b.c.d]\ne = 1", 2, &["\"d\"", after_no_command]);
    refused("a.b.c.d.e = 1", 1, &["\"d\"", after_no_command]);
    refused("a = { b = { c = { d = { e = 1 } } } }", 1, &["\"d\""]);
    refused("[\"a b c d\"]\ne = 1", 1, &["\"a b c d\""]);
    refused("[\"\"]\nservers = 3", 1, &[after_no_command]);
    for deep in [60, 100_000] {
        let table = vec!["a"; deep].join(".");
        refused(&format!("[{table}]\nb = 1"), 1, &[]);
        let table = vec!["\"\""; deep].join(".");
        refused(&format!("[{table}]\nb = 1"), 1, &[]);
    }
}

#[test]
fn a_wrong_type_is_refused_with_the_right_one() {
    refused("servers = \"3\"", 1, &["servers", "whole number"]);
    refused("servers = true", 1, &["whole number"]);
    refused("listen = 7400", 1, &["put it in quotes"]);
    refused("insecure = \"yes\"", 1, &["true or false"]);
    refused("insecure = 1", 1, &["true or false"]);
    refused("data = [\"a\", \"b\"]", 1, &["takes one value"]);
    refused("router = [\"a\", 3]", 1, &["put it in quotes"]);
    refused("router = []", 1, &["empty"]);
    refused("router = [[\"a\"]]", 1, &["array in an array"]);
    refused("servers = 1.5", 1, &["float"]);
    refused("listen = 2026-01-01", 1, &["datetime"]);
    refused("[[up]]\nservers = 3", 1, &["up"]);
}

#[test]
fn a_bad_value_is_refused_in_the_words_of_the_flag() {
    refused("a = 1\n", 1, &["a: "]);
    refused(
        "\nservers = 0",
        2,
        &["invalid value '0' for '--servers <N>'", "1..=512"],
    );
    refused("servers = 99999999999999999999", 1, &["--servers"]);
    refused(
        "servers = 99999999999999999999999999999999999999999",
        1,
        &["too large"],
    );
    refused("policy = \"best\"", 1, &["'best'", "random, p2c"]);
    refused("[up]\nauth = \"none\"", 2, &["open, accounts"]);
    refused("segment-bytes = 1", 1, &["65536"]);
    refused("data = \"\"", 1, &["--data"]);
}

#[test]
fn what_stands_there_twice_and_what_is_no_toml_is_refused_with_its_line() {
    refused("servers = 2\nservers = 3", 2, &["duplicate key"]);
    refused(
        "[log.verify]\ndata = \"a\"\n[\"log verify\"]\ndata = \"b\"",
        4,
        &["twice"],
    );
    refused("servers = 2\nlisten = ", 2, &["no TOML"]);
    refused("log = \"dir\"\n[log.verify]\ndata = \"a\"", 2, &["no TOML"]);
    refused("servers 3", 1, &["no TOML"]);
    read("log = \"dir\"\n[\"log verify\"]\ndata = \"a\"").unwrap();
    read("").unwrap();
}

#[test]
fn a_file_that_is_none_or_may_be_written_by_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    let told = |path: &Path| {
        let failure = ConfigFile::read(path, &layers::program()).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        failure.message
    };
    assert!(told(&path).contains("no such file"), "{}", told(&path));
    assert!(
        told(dir.path()).contains("no regular file"),
        "{}",
        told(dir.path())
    );
    std::fs::write(&path, "servers = 1\n").unwrap();
    for (mode, fine) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        match ConfigFile::read(&path, &layers::program()) {
            Ok(_) => assert!(fine, "{mode:o}"),
            Err(failure) => {
                assert!(!fine && failure.message.contains("chmod go-w"), "{failure}");
            }
        }
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, b"a = 1\n# \xff\n").unwrap();
    assert!(
        told(&path).contains("line 2 is not UTF-8"),
        "{}",
        told(&path)
    );
    std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(told(&path).contains("longer than 1 MiB"), "{}", told(&path));
    // As a manager of configurations puts it in place.
    std::fs::write(&path, "servers = 1\n").unwrap();
    let link = dir.path().join("link.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    ConfigFile::read(&link, &layers::program()).unwrap();
    // A pipe is not waited for.
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    assert!(told(&pipe).contains("no regular file"), "{}", told(&pipe));
}

#[test]
fn all_keys_that_the_commands_of_this_program_take_can_be_set() {
    let program = layers::program();
    for command in [
        "up", "router", "master", "slave", "doctor", "import", "status",
    ] {
        let known = find(&program, &[command.to_owned()]).unwrap();
        for arg in settable(known) {
            let name = arg.get_long().unwrap();
            let text = format!("[{command}]\n{name} = [[1]]");
            let failure = read(&text).unwrap_err();
            assert!(failure.message.contains("array in an array"), "{failure}");
        }
    }
}
