use super::*;

use std::time::{Duration, Instant};

use sns_client::Server;
use sns_proto::v1;

fn watch(servers: usize, unwell: &[usize]) -> Watch {
    let mut watch = Watch::new(Duration::from_secs(1));
    let server = |nth: usize| v1::Server {
        name: format!("p{nth:03}-master"),
        pair: format!("p{nth:03}"),
        role: v1::ServerRole::Master.into(),
        pid: 4_190_000,
        state: if unwell.contains(&nth) {
            v1::ServerState::Hung.into()
        } else {
            v1::ServerState::Serving.into()
        },
        applied: 1_234_567,
        tail: 1_234_568,
        reason: if unwell.contains(&nth) {
            "日本語 \x1b[2J and what else others may write here, at length".to_owned()
        } else {
            String::new()
        },
        ..v1::Server::default()
    };
    let servers = (0..servers).map(|nth| Server::from(server(nth))).collect();
    let clock = "2026-01-02T12:03:04[UTC]".parse().expect("a time");
    watch.look(servers, Instant::now(), &clock);
    watch
}

#[test]
fn no_page_is_wider_or_higher_than_its_screen() {
    for servers in [0, 1, 4, 40] {
        let watch = watch(servers, &[1, 3, 30]);
        for width in (0..140).step_by(7) {
            for height in [1, 2, 3, 5, 8, 20, 60] {
                for gone in [None, Some("no router answers \x1b[2J")] {
                    let page = page(&watch, "h:7400", gone, (width, height), Paint::PLAIN);
                    assert_eq!(page.len(), height);
                    for row in &page {
                        assert!(row.width() < width.max(1), "{width}: {row:?}");
                        assert!(!row.contains('\x1b'), "{row:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn columns_go_by_rank_and_the_reason_finds_a_place() {
    let watch = watch(2, &[1]);
    let title = |width| rows(&watch, width, 60, Paint::PLAIN).remove(0);
    let all = "  server       role    state        pid  applied  lag  entries/s  streams  restarts  reason";
    assert_eq!(title(120), all);
    assert_eq!(
        title(60),
        "  server       state    lag  entries/s  streams  restarts"
    );
    assert_eq!(title(24), "  server       state");
    let narrow = rows(&watch, 60, 60, Paint::PLAIN);
    assert_eq!(narrow.len(), 4);
    assert!(narrow[2].starts_with("! p001-master  hung"), "{narrow:?}");
    assert!(
        narrow[3].starts_with("    日本語 \\u{1b}[2J and"),
        "{narrow:?}"
    );
    assert!(narrow[3].ends_with('…'), "{narrow:?}");
}

#[test]
fn the_unwell_stay_on_a_low_screen() {
    let watch = watch(40, &[39]);
    let rows = rows(&watch, 60, 8, Paint::COLOUR);
    assert_eq!(rows.len(), 8);
    let unwell = rows
        .iter()
        .find(|row| row.contains("p039-master"))
        .expect("shown");
    assert!(unwell.starts_with("\x1b[1;31m! "), "{unwell:?}");
    assert_eq!(rows[7], "  35 more; the screen is too low");
}
