//! The operations page while a server dies: one that it asks, and the one that it came from.
#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};
use sns_browser::{Cluster, Driver, Page, Size, is_here};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// What is seen between two looks of a test is noted by the page itself.
const WATCH: &str = "window.seen = { levels: [], states: [] };
    const note = (list, word) => { if (list.at(-1) !== word) list.push(word); };
    new MutationObserver(() => {
        note(window.seen.levels, document.querySelector('#verdict-box').dataset.level);
        for (const card of document.querySelectorAll('article[data-server]'))
            if (card.dataset.state !== 'serving' || card.dataset.reachable !== 'true')
                note(window.seen.states, `${card.dataset.server} ${card.dataset.state}`);
    }).observe(document.body, { attributes: true, childList: true, subtree: true });";

/// Every server answers the page itself, and says that it is well.
async fn all_well(page: &Page, servers: usize) {
    let script = format!(
        "const cards = [...document.querySelectorAll('article[data-server]')];
        return document.documentElement.dataset.ready === 'true' && cards.length === {servers} &&
            cards.every((it) => it.dataset.state === 'serving' && it.dataset.reachable === 'true')"
    );
    page.until("all servers are well", &script).await;
}

/// Waits for the row of a death that has all its marks; the marks.
async fn death_of(page: &Page, node: &str, pid: u32) -> Value {
    let script = format!(
        "const rows = [...document.querySelectorAll('[data-death][data-node={node}][data-done=true]')];
        const row = rows.find((it) => it.textContent.includes('pid {pid} →'));
        if (!row) return null;
        const marks = [...row.querySelectorAll('[data-mark]')].map((it) => [it.dataset.mark, Number(it.dataset.ms)]);
        return {{ marks: Object.fromEntries(marks), text: row.textContent, width: row.querySelector('.stretch.serving').getBoundingClientRect().width }}"
    );
    page.until("the row of the death", &script).await
}

fn in_order(death: &Value) {
    let at = |mark: &str| {
        let at = death["marks"][mark].as_f64();
        at.unwrap_or_else(|| panic!("no mark {mark}: {death}"))
    };
    assert!(at("last_heard") <= 0.0, "{death}");
    let order = ["died", "noticed", "restarted", "serving", "caught_up"];
    assert!(order.windows(2).all(|it| at(it[0]) <= at(it[1])), "{death}");
    assert!(at("serving") > 0.0, "{death}");
    assert!(
        death["width"].as_f64().unwrap() > 0.0,
        "the bar is drawn: {death}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_page_shows_the_death() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(2);
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;
    page.goto(&format!("{}/ops", cluster.origin("a-master")))
        .await;
    all_well(&page, 4).await;
    assert_eq!(
        page.js("return document.querySelector('#self').textContent")
            .await,
        json!("a-master")
    );
    assert_eq!(
        page.js("return document.querySelector('#elsewhere').hidden")
            .await,
        json!(true)
    );
    let errors = page.errors().await;
    assert!(errors.is_empty(), "{errors:?}");
    page.js(WATCH).await;

    // First another one dies, then the one that the page came from.
    for node in ["b-master", "a-master"] {
        cluster.settled(node).await;
        let pid = cluster.kill(node).await;
        let death = death_of(&page, node, pid).await;
        println!("{node}: {}", death["marks"]);
        in_order(&death);
        let teller = node.replace("master", "slave");
        let text = death["text"].as_str().unwrap();
        assert!(text.contains(&format!("told by {teller}")), "{text}");
        assert!(text.contains("ended by signal 9"), "{text}");
        all_well(&page, 4).await;
        page.until(
            "the verdict is good",
            // But for the disk of this machine, which may be nearly full.
            "return document.querySelector('#verdict-box').dataset.level === 'good'
                || document.querySelector('#verdict').textContent.startsWith('Disk: ')",
        )
        .await;
        cluster.serves(node, Some(pid)).await;
    }
    println!("meanwhile: {}", page.js("return window.seen").await);
    assert_eq!(
        page.js("return document.querySelectorAll('[data-death]').length")
            .await,
        json!(2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_page_reaches_all_servers_by_the_name_localhost() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let driver = Driver::start();
    let page = driver.open(Size::DESK).await;
    let there = cluster.origin("a-slave").replace("127.0.0.1", "localhost");
    page.goto(&format!("{there}/ops")).await;
    all_well(&page, 2).await;
    assert_eq!(
        page.js("return document.querySelector('#elsewhere').hidden")
            .await,
        json!(true)
    );
    let errors = page.errors().await;
    assert!(errors.is_empty(), "{errors:?}");
    // So does the feed page, and goes on.
    page.enter(&there, "alice").await;
    cluster.settled("a-slave").await;
    cluster.kill("a-slave").await;
    page.until(
        "the page went on",
        "return document.documentElement.dataset.server === 'a-master'",
    )
    .await;
    page.post("still here").await;
    page.sees_post("still here").await;
}

/// Lets everything through to `to`, from another port: what `ssh -L` does.
async fn tunnel(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let from = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    from
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_page_says_where_to_go_when_it_reaches_no_other_server() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(1);
    let origin = cluster.origin("a-slave");
    let there = tunnel(origin.replace("http://", "")).await;
    let driver = Driver::start();
    let page = driver.open(Size::PHONE).await;
    page.goto(&format!("{there}/ops")).await;
    let notice = "return !document.querySelector('#elsewhere').hidden && document.querySelector('#elsewhere-link').href";
    let link = page.until("the notice", notice).await;
    assert_eq!(link, json!(format!("{origin}/ops")));
    // What is known of the others stands there all the same.
    page.sees("article[data-server=a-master][data-state=serving][data-reachable=false]")
        .await;
    let wide = "return document.documentElement.scrollWidth - window.innerWidth";
    assert_eq!(page.js(wide).await, json!(0), "wider than a phone");
    page.click("#elsewhere-link").await;
    all_well(&page, 2).await;
    assert_eq!(
        page.js("return document.querySelector('#elsewhere').hidden")
            .await,
        json!(true)
    );
}
