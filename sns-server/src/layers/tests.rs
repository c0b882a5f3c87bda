//! Which of flag, variable and file counts.

use super::*;
use crate::config::{Config, StatusConfig, Task};

/// A file with this text, and the line behind `--config FILE`.
struct Case {
    dir: tempfile::TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Case {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f.toml"), text).unwrap();
        Self {
            dir,
            variables: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn resolve(&self, line: &str) -> Result<Resolved, Early> {
        let file = self.dir.path().join("f.toml");
        let mut words: Vec<OsString> = vec!["sns-server".into(), "--config".into(), file.into()];
        words.extend(line.split_whitespace().map(OsString::from));
        let variable = |name: &str| {
            let found = self.variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        resolve(&words, &variable, Needs::All)
    }

    /// The value of a setting and where it comes from.
    #[track_caller]
    fn setting(&self, line: &str, name: &str) -> (Option<String>, Origin) {
        let resolved = self.resolve(line).unwrap();
        let setting = resolved.settings.iter().find(|it| it.name == name);
        let setting = setting.unwrap_or_else(|| panic!("{name} of {line}"));
        (setting.value.clone(), setting.origin.clone())
    }

    /// Why it is refused.
    #[track_caller]
    fn refused(&self, line: &str) -> String {
        let failure = self.resolve(line).unwrap_err().into_failure();
        assert_eq!(failure.exit_code(), 2);
        failure.message
    }
}

#[allow(clippy::unnecessary_wraps, reason = "values are compared as they come")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn a_flag_goes_before_the_file_and_that_before_the_default() {
    let case = Case::new("servers = 5\npolicy = \"p2c\"\n");
    assert_eq!(case.setting("up", "servers"), (text("5"), Origin::File(1)));
    let typed = case.setting("up --servers 7", "servers");
    assert_eq!(typed, (text("7"), Origin::Flag));
    assert_eq!(case.setting("up", "policy"), (text("p2c"), Origin::File(2)));
    let default = case.setting("up", "slow-call-ms");
    assert_eq!(default, (text("250"), Origin::Default));
    assert_eq!(case.setting("up", "http"), (None, Origin::Default));
}

#[test]
fn a_table_goes_before_the_top_level_and_other_tables_say_nothing() {
    let case = Case::new("servers = 5\n[up]\nservers = 6\n[doctor]\nservers = 7\n");
    assert_eq!(case.setting("up", "servers"), (text("6"), Origin::File(3)));
    // `doctor` looks at what `up` would be given, unless its own table says otherwise.
    assert_eq!(
        case.setting("doctor", "servers"),
        (text("7"), Origin::File(5))
    );
    let case = Case::new("servers = 5\n[up]\nservers = 6\n[slave]\nlisten = \"127.0.0.1:9\"\n");
    assert_eq!(
        case.setting("doctor", "servers"),
        (text("6"), Origin::File(3))
    );
    let slave = case.setting("doctor --role slave", "listen");
    assert_eq!(slave, (text("127.0.0.1:9"), Origin::File(5)));
    let case = Case::new("[doctor]\nrole = \"slave\"\n[slave]\nlisten = \"127.0.0.1:9\"\n");
    assert_eq!(case.setting("doctor", "listen").1, Origin::File(4));
    assert_eq!(
        case.setting("doctor --role up", "listen").1,
        Origin::Default
    );
}

#[test]
fn what_a_command_needs_may_stand_in_the_file() {
    let case = Case::new(
        "name = \"a\"\ndata = \"d\"\nlisten = \"127.0.0.1:1\"\npeer-listen = \"127.0.0.1:2\"\n\
         router = [\"http://127.0.0.1:3\", \"http://127.0.0.1:4\"]\n",
    );
    let resolved = case.resolve("slave").unwrap();
    let config = Config::check(resolved.args().unwrap(), |_| None).unwrap();
    let Task::Node(node) = config.task else {
        panic!("no node");
    };
    assert_eq!(node.routers.len(), 2);
    // Paths are relative to the file.
    assert_eq!(node.data.path, case.dir.path().join("d"));
    let missing = Case::new("name = \"a\"\n").refused("slave");
    assert!(missing.contains("--listen"), "{missing}");
}

#[test]
fn what_is_a_path_is_relative_to_the_file_and_what_is_none_stays() {
    let case = Case::new(
        "data = \"d\"\nlog = \"dir\"\n[\"backup create\"]\nout = \"-\"\n[\"log copy\"]\n\
         from = \"old\"\nto = \"nats://a,b\"\n",
    );
    let value = |line: &str, name: &str| case.setting(line, name).0;
    let there = |name: &str| text(case.dir.path().join(name).to_str().unwrap());
    assert_eq!(value("up", "data"), there("d"));
    assert_eq!(value("up", "log"), text("dir"));
    assert_eq!(value("backup create", "out"), text("-"));
    assert_eq!(value("log copy", "from"), there("old"));
    assert_eq!(value("log copy", "to"), text("nats://a,b"));
    let case = Case::new("[\"log copy\"]\nfrom = \"tls://a\"\nto = \"new\"\n");
    let there = case.dir.path().join("new");
    assert_eq!(case.setting("log copy", "from").0, text("tls://a"));
    assert_eq!(
        case.setting("log copy", "to").0,
        text(there.to_str().unwrap())
    );
}

#[test]
fn commands_of_two_words_take_their_tables_too() {
    let case = Case::new("data = \"d\"\n[log.verify]\ndata = \"/e\"\n");
    let own = case.setting("log verify", "data");
    assert_eq!(own, (text("/e"), Origin::File(3)));
    let top = case.setting("log dump", "data");
    assert_eq!(top.1, Origin::File(1));
    // What is typed wrong is still told.
    assert!(case.refused("log verify --nonsense").contains("--nonsense"));
}

#[test]
fn a_key_gives_way_to_what_was_typed_and_excludes_it_with_all_that_needs_it() {
    let case = Case::new("nats-user = \"u\"\nnats-password-file = \"p\"\n");
    let resolved = case.resolve("up --nats-token-file t").unwrap();
    let of = |name: &str| {
        let mut all = resolved.settings.iter();
        all.find(|it| it.name == name).unwrap().origin.clone()
    };
    assert_eq!(of("nats-token-file"), Origin::Flag);
    assert_eq!(of("nats-user"), Origin::Default);
    assert_eq!(of("nats-password-file"), Origin::Default);
    assert_eq!(case.setting("up", "nats-user").1, Origin::File(1));
    // A table was meant for the command, the top level for many.
    let case =
        Case::new("nats-user = \"u\"\nnats-password-file = \"p\"\n[up]\nnats-token-file = \"t\"\n");
    assert_eq!(case.setting("up", "nats-token-file").1, Origin::File(4));
    assert_eq!(case.setting("up", "nats-user").1, Origin::Default);
}

#[test]
fn keys_that_exclude_or_miss_each_other_are_refused_with_their_lines() {
    let both =
        Case::new("nats-user = \"u\"\nnats-password-file = \"p\"\nnats-token-file = \"t\"\n");
    let told = both.refused("up");
    assert!(
        told.contains("f.toml:1:") && told.contains("f.toml:3:"),
        "{told}"
    );
    let half = Case::new("\ntls-cert = \"c\"\n");
    let told = half.refused("up");
    assert!(told.contains("--tls-key"), "{told}");
    // The other half may be typed.
    half.resolve("up --tls-key k").unwrap();
}

#[test]
fn what_a_check_refuses_later_is_told_with_its_line() {
    let case = Case::new("insecure = true\nlisten = \"nowhere\"\n");
    let resolved = case.resolve("up").unwrap();
    let refused = Config::check(resolved.args().unwrap(), |_| None).unwrap_err();
    let told = resolved.blame(refused).message;
    assert!(
        told.contains("--listen") && told.contains("f.toml:2: `listen`"),
        "{told}"
    );
    assert!(!told.contains("insecure"), "{told}");
}

#[test]
fn status_asks_whom_flags_variables_and_the_file_name_in_this_order() {
    let asked = |case: &Case, line: &str| {
        let resolved = case.resolve(line).unwrap();
        let variable = |name: &str| {
            let found = case.variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match Config::check(resolved.args().unwrap(), variable)
            .unwrap()
            .task
        {
            Task::Status(StatusConfig::Routers(routers, _)) => routers[0].to_string(),
            Task::Status(StatusConfig::Data(data)) => data.display().to_string(),
            other => panic!("{other:?}"),
        }
    };
    let both = "router = [\"http://f:1\"]\ndata = \"/f\"\n";
    assert_eq!(asked(&Case::new(both), "status"), "http://f:1/");
    assert_eq!(asked(&Case::new(both), "status --data /t"), "/t");
    assert_eq!(
        asked(&Case::new(both), "status --router http://t:1"),
        "http://t:1/"
    );
    assert_eq!(
        asked(&Case::new(both).with("SNS_DATA", "/v"), "status"),
        "/v"
    );
    let variable = Case::new(both).with("SNS_ROUTER", "http://v:1");
    assert_eq!(asked(&variable, "status"), "http://v:1/");
    let own = format!("{both}[status]\ndata = \"/own\"\n");
    assert_eq!(asked(&Case::new(&own), "status"), "/own");
    assert_eq!(asked(&Case::new("data = \"/f\"\n"), "status"), "/f");
    let set = variable.setting("status", "router");
    assert_eq!(
        set,
        (text("http://v:1"), Origin::Variable("SNS_ROUTER".into()))
    );
}

#[test]
fn switches_are_on_or_off() {
    let case = Case::new("insecure = true\n[router]\ninsecure = false\n");
    assert_eq!(
        case.setting("up", "insecure"),
        (text("true"), Origin::File(1))
    );
    let router = case.setting("router --listen 127.0.0.1:0", "insecure");
    assert_eq!(router, (text("false"), Origin::File(3)));
}

#[test]
fn without_a_file_everything_is_as_it_was_typed() {
    let none = |_: &str| None;
    let words = ["sns-server", "up", "--servers", "3"].map(OsString::from);
    let resolved = resolve(&words, &none, Needs::All).unwrap();
    assert!(resolved.file.is_none());
    let servers = resolved
        .settings
        .iter()
        .find(|it| it.name == "servers")
        .unwrap();
    assert_eq!(servers.origin, Origin::Flag);
    for line in ["sns-server", "sns-server fly", "sns-server up --help"] {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let early = resolve(&words, &none, Needs::All).unwrap_err();
        assert!(matches!(early, Early::Typed(_)), "{line}");
    }
}

#[test]
fn a_flag_is_spoken_of_only_by_its_whole_name() {
    assert!(names("--tls-cert c: bad", "tls-cert"));
    assert!(names("give --tls-cert", "tls-cert"));
    assert!(!names("--tls-cert-file", "tls-cert") && !names("tls-cert", "tls-cert"));
}
