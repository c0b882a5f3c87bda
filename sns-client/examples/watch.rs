//! Posts a line and watches the timeline, in twenty lines: `cargo run --example watch -- alice`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it does"
)]

use sns_client::{Client, Event, Options};

#[tokio::main]
async fn main() -> sns_client::Result<()> {
    let name = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "alice".to_owned());
    let client = Client::connect(Options::new(name)).await?;
    let mut timeline = client.timeline().backlog(10).open().await?;
    let poster = timeline.poster();
    tokio::spawn(async move { poster.post("hello").await });
    while let Some(event) = timeline.next().await {
        match event? {
            // Text of others is escaped before it meets a terminal.
            Event::Post(post) => println!("{}: {}", post.author, post.text.escape_debug()),
            Event::Lost { server, .. } => eprintln!("lost {server}"),
            Event::Resumed { server, .. } => eprintln!("going on at {server}"),
            _ => {}
        }
    }
    Ok(())
}
