//! Whatever is posted is shown as text: nothing of it becomes part of the page.
#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::json;
use sns_browser::{Cluster, Driver, Page, Size, Web, is_here};

/// Texts that were written to break pages.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "<script>window.broken = 1; alert(1)</script>",
        "</p></article><script>window.broken = 1</script>",
        "<img src=x onerror=\"window.broken = 1; alert(1)\">",
        "\"><svg/onload=alert(1)>",
        "<svg><script>alert(1)</script><animate onbegin=alert(1) attributeName=x dur=1s>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<a href=\"javascript:alert(1)\">click</a> javascript:alert(1) JaVaScRiPt:alert(1)",
        "<iframe srcdoc=\"<script>parent.broken = 1</script>\"></iframe>",
        "<template><img src=x onerror=alert(1)></template>",
        "<form id=compose><input name=attributes></form><a id=feed>clobbered</a>",
        "<base href=//evil.example/><meta http-equiv=refresh content=0;url=//evil.example>",
        "<link rel=stylesheet href=//evil.example/x.css><style>*{display:none}</style>",
        "{{constructor.constructor('alert(1)')()}} ${alert(1)} #{7*7} <%= 7*7 %> [[${7*7}]]",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "&lt;b&gt; &amp;amp; &#x3c;script&#x3e; &nbsp;",
        "]]> <![CDATA[<script>alert(1)</script>]]> <!-- --!> <? ?>",
        "<dialog open>you have won</dialog><marquee>x</marquee><plaintext>",
        "'; DROP TABLE posts; -- \\\" \\u003cscript\\u003e \\",
        // Turned around, and never turned back.
        "\u{202e}txet siht sdaer ohw\u{202d} \u{2066}\u{2067}\u{2068} no end \u{200f}\u{061c}",
        "file\u{202e}gpj.exe",
        // What cannot be seen, in and around what can.
        "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}in\u{200b}visi\u{ad}ble\u{e0001}\u{e0061}\u{fff9}\u{fffb}",
        "\u{1}\u{2}\u{7}\u{8}\u{1b}[31m red \u{1b}]0;title\u{7} \u{7f}\u{85}\u{9b}",
        "lines\nand\r\nlines\rand\u{2028}lines\u{2029}and\u{b}lines\u{c}end",
        "  spaces   kept\t\ttabs  ",
        "👩‍👩‍👧‍👦 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} 🇩🇪🇩 ﷽ \u{fdfd}\u{fdfd} 𒐫𒐫",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{f8ff}",
    ]
    .map(str::to_owned)
    .to_vec();
    // A tower of marks, one on the other.
    texts.push(format!("Z{} tower", "\u{30d}\u{489}\u{353}".repeat(300)));
    // Words without an end.
    texts.push("W".repeat(1_000));
    texts.push("﷽".repeat(1_000));
    texts.push("\u{1f98b}".repeat(1_000));
    texts.push(format!("https://example.com/{}", "a/".repeat(490)));
    texts.push("\n".repeat(999) + ".");
    texts.push("\u{a0}".repeat(999) + ".");
    texts
}

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
    let (early, late) = hostile()
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
