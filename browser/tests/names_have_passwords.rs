//! Where names belong to somebody: making one, logging in, an end to every log-in, and the
//! operator's page.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use sns_browser::{Cluster, Driver, Page, Size, beside, is_here};

const PASSWORD: &str = "correct horse";

async fn says(page: &Page, css: &str, words: &str) {
    let script =
        format!("return document.querySelector({css:?})?.textContent.includes({words:?}) ?? false");
    page.until(&format!("{css} says {words:?}"), &script).await;
}

async fn log_in(page: &Page, name: &str, password: &str) {
    page.sees("#password").await;
    page.js("document.querySelector('#username').value = ''")
        .await;
    page.write("#username", name).await;
    page.write("#password", password).await;
    page.click("#login-submit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_made_kept_and_given_up_in_the_page() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start_with(1, &["--auth", "accounts"]);
    let origin = cluster.origin("a-master");
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;
    page.goto(&format!("{origin}/")).await;

    // Nobody has the name: the answer is that of a wrong password.
    log_in(&page, "alice", PASSWORD).await;
    page.until(
        "the log-in is refused",
        "return document.querySelector('#login-error').textContent !== ''",
    )
    .await;
    let unknown = page
        .value("document.querySelector('#login-error').textContent")
        .await;
    assert_eq!(
        page.value("document.querySelector('#password').value")
            .await,
        ""
    );

    page.click("#new-name").await;
    log_in(&page, "alice", PASSWORD).await;
    page.until_live().await;
    page.post("a name of my own").await;
    page.sees_post("a name of my own").await;
    let kept = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href])";
    let kept = page.value(kept).await;
    assert!(
        !kept.as_str().unwrap().contains(PASSWORD),
        "the password is kept: {kept}"
    );

    // Somebody else with the name, in a browser of their own.
    let thief = driver.open(Size::DESK).await;
    thief.goto(&format!("{origin}/")).await;
    log_in(&thief, "alice", "another word").await;
    thief
        .until(
            "the log-in is refused",
            "return document.querySelector('#login-error').textContent !== ''",
        )
        .await;
    let wrong = thief
        .value("document.querySelector('#login-error').textContent")
        .await;
    assert_eq!(wrong, unknown, "it tells which names there are");
    log_in(&thief, "alice", PASSWORD).await;
    thief.until_live().await;

    // Out everywhere: the other one is asked again, too, within a moment.
    page.click("#account-open").await;
    page.click("#end-open").await;
    page.click("#end-submit").await;
    page.sees("#login-form").await;
    thief.sees("#login-form").await;
    let mut errors = [page.errors().await, thief.errors().await].concat();
    // The browser notes each refusal that was asked for above.
    errors.retain(|error| !error.contains("/api/v1/") || !error.contains("401"));
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_page_opens_to_a_token_of_the_operator() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start_with(1, &["--auth", "accounts"]);
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;
    page.goto(&format!("{}/ops", cluster.origin("a-slave")))
        .await;
    page.sees("#locked").await;
    page.write("#token", "v2.made.up").await;
    page.click("#unlock-submit").await;
    page.until(
        "the token is refused",
        "return document.querySelector('#unlock-error').textContent !== ''",
    )
    .await;
    let made = Command::new(beside("sns-server"))
        .args(["token", "--user", "ops", "--scope", "admin", "--data"])
        .arg(cluster.data())
        .output()
        .unwrap();
    let token = String::from_utf8(made.stdout).unwrap();
    page.js("document.querySelector('#token').value = ''").await;
    page.write("#token", token.trim()).await;
    page.click("#unlock-submit").await;
    says(&page, "#pairs", "a-master").await;
    page.click("#forget").await;
    page.sees("#locked").await;
}
