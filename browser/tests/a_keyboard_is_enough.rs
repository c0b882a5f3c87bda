//! Everything a user does, without a mouse.
#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::json;
use sns_browser::{Cluster, Driver, Page, Size, Web, is_here, keys};

/// More presses of the Tab key than any way on the page takes.
const TABS: u32 = 60;

/// Tab by Tab until the focus is on what is wanted.
async fn tab_to(page: &Page, css: &str) {
    let there = format!("return document.activeElement.matches({})", json!(css));
    for _ in 0..TABS {
        if page.js(&there).await == true {
            let seen = "const { width, height } = document.activeElement.getBoundingClientRect();
                return width > 0 && height > 0";
            assert_eq!(
                page.js(seen).await,
                json!(true),
                "{css} has the focus and is not seen"
            );
            return;
        }
        page.press(&[keys::TAB]).await;
    }
    panic!("no way to {css} by the Tab key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyboard_is_enough() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let bob = Web::login(cluster.origins(), "bob").await;
    let hello = bob.post("hello from bob").await;
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;

    // Log in: the focus is where one writes.
    page.goto(&format!("{}/", cluster.origin("a-slave"))).await;
    page.until(
        "the field has the focus",
        "return document.activeElement.id === 'username'",
    )
    .await;
    page.types("alice").await;
    page.press(&[keys::ENTER]).await;
    page.until_live().await;

    // People, by Tab and Enter.
    tab_to(&page, "[data-nav=people]").await;
    page.press(&[keys::ENTER]).await;
    page.sees("button[data-follow=bob][aria-disabled=false]")
        .await;
    tab_to(&page, "button[data-follow=bob]").await;
    page.press(&[' ']).await;
    page.sees("button[data-follow=bob][aria-pressed=true]")
        .await;
    let kept = "return document.activeElement.dataset.follow";
    assert_eq!(page.js(kept).await, json!("bob"), "the focus is lost");

    // Home by its shortcut, and write a post by another one.
    page.press(&['g', 'h']).await;
    page.sees(&format!("article[data-id='{hello}']")).await;
    page.press(&['n']).await;
    page.until(
        "the field has the focus",
        "return document.activeElement.id === 'compose-text'",
    )
    .await;
    page.types("written with keys").await;
    page.press_with(keys::CONTROL, keys::ENTER).await;
    page.sees_post("written with keys").await;
    let own = page.ids().await[0].clone();
    assert_ne!(own, hello);

    // And with the button, as those do who know no shortcut.
    tab_to(&page, "#compose-text").await;
    page.types("sent by its button").await;
    tab_to(&page, "#compose-submit").await;
    page.press(&[keys::ENTER]).await;
    page.sees_post("sent by its button").await;

    // From post to post; then delete the own one, after having said no once.
    page.press(&[keys::ESCAPE]).await;
    page.js("document.activeElement.blur()").await;
    page.press(&['j', 'j', 'j', 'k']).await;
    let on = "return document.activeElement.closest('article')?.dataset.id";
    assert_eq!(
        page.js(on).await,
        json!(own),
        "j and k lead from post to post"
    );
    let delete = format!("article[data-id='{own}'] button.delete");
    tab_to(&page, &delete).await;
    page.press(&[keys::ENTER]).await;
    // The focus is on the answer that does no harm.
    let no = format!("article[data-id='{own}'] button.no");
    page.until(
        "No has the focus",
        &format!("return document.activeElement.matches({})", json!(no)),
    )
    .await;
    page.press(&[keys::ENTER]).await;
    tab_to(&page, &delete).await;
    page.press(&[keys::ENTER]).await;
    tab_to(&page, &format!("article[data-id='{own}'] button.yes")).await;
    page.press(&[keys::ENTER]).await;
    page.until(
        "the post is gone",
        &format!("return document.querySelector(\"article[data-id='{own}']\") === null"),
    )
    .await;
    let left: Vec<_> = bob_and_alice(&cluster).await;
    assert!(!left.contains(&own), "it is deleted for everybody");
    let lost = "return document.activeElement === document.body";
    assert_eq!(
        page.js(lost).await,
        json!(false),
        "the focus is lost with the post"
    );

    // Out again.
    tab_to(&page, "#logout").await;
    page.press(&[keys::ENTER]).await;
    page.sees("#login-form").await;
}

/// The ids in alice's home timeline, by the servers' word.
async fn bob_and_alice(cluster: &Cluster) -> Vec<String> {
    let alice = Web::login(cluster.origins(), "alice").await;
    let posts = alice.home(200).await;
    let ids = posts.iter().map(|it| it["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}
