//! Some people, and what they write to each other.

use std::time::Duration;

use sns_browser::{Cluster, Web};
use tokio::time::sleep;

/// Between two posts, lest all be of the same second.
const PACE: Duration = Duration::from_secs(5);

const POSTS: &[(&str, &str)] = &[
    (
        "bob",
        "First coffee, then the inbox. In that order, every day.",
    ),
    (
        "carol",
        "Bread report: 14 hours in the fridge, 45 minutes in the oven, gone in 10.",
    ),
    (
        "erin",
        "Notes from tonight's talk on shared logs, for those who had to leave early.\n\n\
         One totally ordered log is the only thing that must survive. Everything else is a view of it: \
         drop it, fold it again, and you get the same answer. So a server that dies takes nothing with \
         it, and the one that you are handed to a moment later knows everything that you knew.\n\n\
         The question I liked best: \"What do you do when the log itself is slow?\" Say so, and wait.",
    ),
    (
        "dora",
        "Reading Lampson again: \"Handle normal and worst cases separately.\" Still the best page of \
         advice I know about systems that are on fire.",
    ),
    (
        "bob",
        "Can somebody water my tomatoes from the 12th on? I pay in tomatoes 🍅",
    ),
    ("carol", "@bob done. They look thirsty already."),
    (
        "dora",
        "Tested our restart drill with a very large hammer. My tea was still hot when everything was \
         back.",
    ),
    (
        "mara",
        "Saw a kingfisher on the way to work 🐦💙 The whole tram went quiet.",
    ),
    (
        "alice",
        "Photos from the boathouse are up. Thank you all for coming, in that rain!",
    ),
];

/// Makes them, and lets alice follow them.
pub(crate) async fn write(cluster: &Cluster) {
    let alice = Web::login(cluster.origins(), "alice").await;
    for name in ["bob", "carol", "dora", "erin", "mara"] {
        let other = Web::login(cluster.origins(), name).await;
        alice.follow(name).await;
        other.follow("alice").await;
    }
    for (name, text) in POSTS {
        Web::login(cluster.origins(), name).await.post(text).await;
        sleep(PACE).await;
    }
}
