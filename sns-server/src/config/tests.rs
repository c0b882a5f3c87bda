//! What the checks of the command line promise.

use super::*;
use clap::Parser as _;

fn check(line: &str, variables: &[(&str, &str)]) -> Result<Config> {
    let typed = std::iter::once("sns-server").chain(line.split(' '));
    let variable = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::check(Args::try_parse_from(typed).expect(line), variable)
}

#[test]
fn a_router_that_others_can_reach_has_to_know_its_servers() {
    let tls = "router --listen 10.0.0.1:0 --tls-cert c --tls-key k";
    let refused = check(tls, &[]).unwrap_err();
    assert!(refused.message.contains("--announce-key"), "{refused}");
    for known in ["--announce-key f", "--tls-ca a", "--insecure"] {
        check(&format!("{tls} {known}"), &[]).unwrap();
    }
    check("router --listen 127.0.0.1:0", &[]).unwrap();
}

#[test]
fn where_others_can_reach_it_names_have_passwords() {
    let auth = |line: &str| {
        Ok::<_, Failure>(match check(line, &[])?.task {
            Task::Up(up) => up.auth.auth,
            Task::Router(router) => router.auth,
            _ => panic!("another task"),
        })
    };
    for (line, expected) in [
        ("up --listen 127.0.0.1:0", AuthMode::Open),
        (
            "up --listen 127.0.0.1:0 --auth accounts",
            AuthMode::Accounts,
        ),
        ("up --listen 10.0.0.1:0 --insecure", AuthMode::Accounts),
        ("up --http 10.0.0.1:0 --insecure", AuthMode::Accounts),
        (
            "up --listen 10.0.0.1:0 --insecure --auth open",
            AuthMode::Open,
        ),
        ("router --listen 0.0.0.0:1 --insecure", AuthMode::Accounts),
    ] {
        assert_eq!(auth(line).unwrap(), expected, "{line}");
    }
    let tls = "--tls-cert c --tls-key k --tls-ca a";
    let refused = auth(&format!("up --listen 10.0.0.1:0 --auth open {tls}")).unwrap_err();
    assert!(refused.message.contains("--auth accounts"), "{refused}");
}

#[test]
fn a_node_is_named_after_its_pair_and_role() {
    let line = "slave --name a --data d --listen 127.0.0.1:1 --peer-listen 127.0.0.1:2 \
                --router http://127.0.0.1:3,127.0.0.1:4/";
    let Task::Node(node) = check(line, &[]).unwrap().task else {
        panic!("no node");
    };
    assert_eq!(
        (node.node(), node.partner()),
        ("a-slave".into(), "a-master".into())
    );
    let routers: Vec<String> = node.routers.iter().map(Uri::to_string).collect();
    assert_eq!(routers, ["http://127.0.0.1:3/", "http://127.0.0.1:4/"]);
}

#[test]
fn without_tls_all_listen_on_loopback_only() {
    assert!(check("router --listen 127.0.0.1:0", &[]).is_ok());
    assert!(check("router --listen [::1]:0", &[]).is_ok());
    let tls = "--tls-cert c --tls-key k --tls-ca a";
    let node = "slave --name a --data d --router ROUTER --listen 127.0.0.1:1 --peer-listen";
    for line in [
        "router --listen 0.0.0.0:7400".to_owned(),
        "up --listen 192.0.2.1:7400".to_owned(),
        "up --http 0.0.0.0:80".to_owned(),
        format!("{node} 192.0.2.1:2"),
        format!("{node} 127.0.0.1:2 --http 192.0.2.1:80"),
    ] {
        let plain = line.replace("ROUTER", "http://127.0.0.1:3");
        let refused = check(&plain, &[]).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{line}");
        assert!(refused.message.contains("loopback"), "{refused}");
        check(&format!("{plain} --insecure"), &[]).unwrap();
        let line = line.replace("ROUTER", "https://127.0.0.1:3");
        check(&format!("{line} {tls}"), &[]).unwrap();
    }
}

#[test]
fn a_node_and_its_routers_all_speak_tls_or_none_does() {
    let line = "master --name a --data d --listen 127.0.0.1:1 --peer-listen 127.0.0.1:2";
    let tls = "--tls-cert c --tls-key k";
    for refused in [
        format!("{line} --router https://127.0.0.1:3"),
        format!("{line} --router http://127.0.0.1:3 {tls} --tls-ca a"),
        format!("{line} --router https://127.0.0.1:3 {tls}"),
        format!("{line} --router https://127.0.0.1:3,http://127.0.0.1:4 {tls} --tls-ca a"),
        "status --router https://h:1".to_owned(),
        "status --router https://h:1,http://h:2 --tls-ca a".to_owned(),
    ] {
        assert_eq!(
            check(&refused, &[]).unwrap_err().exit_code(),
            2,
            "{refused}"
        );
    }
    // A router alone can do without: it connects to nobody.
    check(&format!("router --listen 127.0.0.1:0 {tls}"), &[]).unwrap();
}

#[test]
fn a_page_is_on_by_default_and_can_be_put_elsewhere_or_off() {
    let up = |line: &str| match check(line, &[]).unwrap().task {
        Task::Up(up) => up.http,
        other => panic!("{other:?}"),
    };
    assert_eq!(up("up"), UpHttp::Next);
    assert_eq!(up("up --http off"), UpHttp::Off);
    let from = UpHttp::From("127.0.0.1:8080".parse().unwrap());
    assert_eq!(up("up --http 127.0.0.1:8080"), from);
}

#[test]
fn names_addresses_and_urls_are_checked() {
    let good = [
        ("NAME", "a"),
        ("LISTEN", "127.0.0.1:1"),
        ("PEER", "127.0.0.1:2"),
        ("ROUTER", "http://127.0.0.1:3"),
    ];
    let line = |place: &str, value: &str| {
        let template = "master --name NAME --data d --listen LISTEN --peer-listen PEER \
                        --router ROUTER";
        good.iter().fold(template.to_owned(), |line, (key, fine)| {
            line.replace(key, if *key == place { value } else { fine })
        })
    };
    check(&line("", ""), &[]).unwrap();
    for (place, value) in [
        ("NAME", "../x"),
        ("NAME", "A"),
        ("NAME", "a-b"),
        ("LISTEN", "nowhere"),
        ("LISTEN", "0.0.0.0:1"),
        ("PEER", "127.0.0.1"),
        ("PEER", "[::]:1"),
        ("ROUTER", "https://127.0.0.1:3"),
        ("ROUTER", "ftp://127.0.0.1:3"),
        ("ROUTER", "http://127.0.0.1"),
        ("ROUTER", "http://127.0.0.1:3/x"),
    ] {
        let refused = check(&line(place, value), &[]).expect_err(value);
        assert_eq!(refused.exit_code(), 2, "{value}");
    }
}

#[test]
fn a_flag_goes_before_a_variable_and_that_before_the_default() {
    let asked = |line: &str, variables: &[(&str, &str)]| match check(line, variables).unwrap().task
    {
        Task::Status(StatusConfig::Routers(routers, _)) => routers[0].to_string(),
        Task::Status(StatusConfig::Data(data)) => data.display().to_string(),
        other => panic!("{other:?}"),
    };
    let both = [("SNS_ROUTER", "http://h:1"), ("SNS_DATA", "d")];
    assert_eq!(asked("status", &[]), "http://127.0.0.1:7400/");
    assert_eq!(asked("status", &both), "http://h:1/");
    assert_eq!(asked("status", &both[1..]), "d");
    assert_eq!(asked("status --data e", &both), "e");
    assert_eq!(asked("status --router http://h:2", &both), "http://h:2/");
}
