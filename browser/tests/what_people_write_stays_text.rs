//! Whatever is posted is shown as text: nothing of it becomes part of the page.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../../sns-core/tests/support/hostile.rs"]
mod hostile;

use hostile::{ODD_NAMES, SCRIPTS};
use serde_json::json;
use sns_browser::{Cluster, Driver, Page, Size, Web, is_here};

/// Keeps what the browser's rules had to stop, from the first script on.
const WATCH: &str = "window.stopped = [];
    document.addEventListener('securitypolicyviolation', (event) =>
        window.stopped.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    for (const name of ['alert', 'confirm', 'prompt', 'print', 'open'])
        window[name] = () => { window.broken = name; };";

/// What a post is made of: anything else came out of a text.
const FOREIGN: &str =
    "const known = new Set(['ARTICLE', 'HEADER', 'DIV', 'P', 'A', 'SPAN', 'TIME', 'BUTTON']);
    return [...document.querySelectorAll('#feed *')]
        .filter((it) => !known.has(it.tagName)
            || it.childElementCount > 0 && it.matches('.text')
            || it.tagName === 'A' && !/^#\\/u\\/[a-z0-9_]+$/.test(it.getAttribute('href'))
            || [...it.attributes].some((its) => /^on|^style$|^src/.test(its.name)))
        .map((it) => it.outerHTML.slice(0, 200))";

async fn is_unbroken(page: &Page, what: &str) {
    assert_eq!(page.dialog().await, None, "{what}: a dialog");
    let found = page.js("return window.broken ?? null").await;
    assert_eq!(found, json!(null), "{what}: a script ran");
    assert_eq!(page.js("return window.stopped").await, json!([]), "{what}");
    assert_eq!(page.js(FOREIGN).await, json!([]), "{what}");
    let errors = page.errors().await;
    assert!(errors.is_empty(), "{what}: {errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_write_stays_text() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let mallory = Web::login(cluster.origins(), "mallory").await;
    let alice = Web::login(cluster.origins(), "alice").await;
    alice.follow("mallory").await;
    let (early, late) = hostile::texts()
        .into_iter()
        .enumerate()
        .partition::<Vec<_>, _>(|it| it.0 % 2 == 0);
    let mut sent = Vec::new();
    for (_, text) in early {
        sent.push((mallory.post(&text).await, text));
    }

    let driver = Driver::start();
    let page = driver.open(Size::PHONE).await;
    page.before_each_page(WATCH).await;
    page.enter(&cluster.origin("a-master"), "alice").await;
    // Half of them come with the first page, the other half live.
    for (_, text) in late {
        sent.push((mallory.post(&text).await, text));
    }
    let shown = format!(
        "return document.querySelectorAll('#feed > article').length === {}",
        sent.len()
    );
    page.until("all of them", &shown).await;

    let all = "return [...document.querySelectorAll('#feed > article')]
        .map((it) => [it.dataset.id, it.querySelector('.text').textContent])";
    sent.reverse();
    // Byte for byte: JSON keeps every scalar of a text.
    assert_eq!(page.js(all).await, json!(sent));
    is_unbroken(&page, "home").await;
    for size in [Size::PHONE, Size::DESK] {
        page.resize(size).await;
        let wide = "const wide = document.documentElement.scrollWidth - window.innerWidth;
            return wide > 0 ? wide : null";
        assert_eq!(page.js(wide).await, json!(null), "wider than {size:?}");
        let beyond = "return [...document.querySelectorAll('#feed .text')]
            .filter((it) => it.getBoundingClientRect().right > window.innerWidth + 1).length";
        assert_eq!(
            page.js(beyond).await,
            json!(0),
            "beyond the edge of {size:?}"
        );
    }

    // The same texts on the page of their author, and as a text of one's own, with its button.
    let origin = cluster.origin("a-slave");
    page.goto(&format!("{origin}/#/u/mallory")).await;
    page.enter(&origin, "mallory").await;
    page.until("all of them", &shown).await;
    assert_eq!(page.js(all).await, json!(sent));
    is_unbroken(&page, "their author's").await;
    // What is written here goes the same way.
    page.post("<b onclick=alert(1)>bold</b> {{7*7}}").await;
    page.sees_post("<b onclick=alert(1)>bold</b> {{7*7}}").await;
    is_unbroken(&page, "composed").await;
    // A draft is a text, too, when the page is loaded again.
    page.write(
        "#compose-text",
        "</textarea><script>window.broken = 1</script>",
    )
    .await;
    page.goto("about:blank").await;
    page.goto(&format!("{origin}/")).await;
    page.until_live().await;
    let draft = "return document.querySelector('#compose-text').value";
    assert_eq!(
        page.js(draft).await,
        json!("</textarea><script>window.broken = 1</script>")
    );
    is_unbroken(&page, "a draft").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_every_kind_stay_text() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let mallory = Web::login(cluster.origins(), "mallory").await;
    let alice = Web::login(cluster.origins(), "alice").await;
    alice.follow("mallory").await;
    let (early, late) = SCRIPTS.split_at(SCRIPTS.len() / 2);
    let mut sent = Vec::new();
    for text in early {
        sent.push((mallory.post(text).await, *text));
    }
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;
    page.before_each_page(WATCH).await;
    page.enter(&cluster.origin("a-master"), "alice").await;
    for text in late {
        sent.push((mallory.post(text).await, *text));
    }
    let shown = format!(
        "return document.querySelectorAll('#feed > article').length === {}",
        sent.len()
    );
    page.until("all of them", &shown).await;
    let all = "return [...document.querySelectorAll('#feed > article')]
        .map((it) => [it.dataset.id, it.querySelector('.text').textContent])";
    sent.reverse();
    assert_eq!(page.js(all).await, json!(sent));
    // Clicked, hovered and focused, too: nothing of them answers.
    let poke = "for (const it of document.querySelectorAll('#feed .text')) {
            for (const kind of ['click', 'mouseover', 'focus', 'toggle', 'error', 'load'])
                it.dispatchEvent(new Event(kind, { bubbles: false }));
        }
        return Object.prototype.broken ?? null";
    assert_eq!(page.js(poke).await, json!(null), "a prototype was changed");
    is_unbroken(&page, "home").await;
    // All that was ever asked for came from our own servers.
    let asked =
        "return performance.getEntriesByType('resource').map((it) => new URL(it.name).origin)";
    let ours = cluster.origins();
    for origin in page.js(asked).await.as_array().unwrap() {
        let origin = origin.as_str().unwrap();
        assert!(ours.iter().any(|its| its == origin), "asked {origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_turns_around_turns_nothing_else_and_odd_names_are_names() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let alice = Web::login(cluster.origins(), "alice").await;
    for name in ODD_NAMES {
        let web = Web::login(cluster.origins(), name).await;
        alice.follow(name).await;
        web.post("plain").await;
        web.post("\u{202e}turned \u{2067}\u{5d0}\u{5d1}\u{5d2} 123")
            .await;
    }
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;
    page.before_each_page(WATCH).await;
    page.enter(&cluster.origin("a-master"), "alice").await;
    let count = 2 * ODD_NAMES.len();
    let shown = format!("return document.querySelectorAll('#feed > article').length === {count}");
    page.until("all of them", &shown).await;
    // Whoever wrote it stands where those stand who write plainly, and is spelled from left to right.
    let places = "return [...document.querySelectorAll('#feed > article')].map((it) => {
            const name = it.querySelector('a.name'), time = it.querySelector('time');
            const left = (of) => Math.round(of.getBoundingClientRect().left);
            return [name.textContent, left(name), left(name) < left(time), name.getAttribute('href'),
                getComputedStyle(it.querySelector('.text')).unicodeBidi];
        })";
    let places = page.js(places).await;
    let places = places.as_array().unwrap();
    for pair in places.chunks(2) {
        assert_eq!(pair[0], pair[1], "plain and turned look alike");
        assert_eq!(pair[0][1], places[0][1], "{pair:?}");
        assert_eq!(
            (&pair[0][2], &pair[0][4]),
            (&json!(true), &json!("isolate"))
        );
        let name = pair[0][0].as_str().unwrap();
        assert!(ODD_NAMES.contains(&name), "{name}");
        assert_eq!(pair[0][3], format!("#/u/{name}"));
    }
    is_unbroken(&page, "odd names").await;
    page.goto(&format!("{}/#/u/__proto__", cluster.origin("a-master")))
        .await;
    let two = "return document.querySelectorAll('#feed > article').length === 2";
    page.until("the posts of __proto__", two).await;
    is_unbroken(&page, "the page of __proto__").await;
}
