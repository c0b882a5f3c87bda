//! A client that reads its timeline through everything.

use sns_client::{Client, Event as Came, Timeline};
use tokio_util::sync::CancellationToken;

use super::caller::seen;
use super::{MARKER, Shared};
use crate::failure::{Doing as _, Result};
use crate::history::{Event, Stream};

/// An open timeline and what came of it so far.
pub(super) struct Watcher {
    timeline: Timeline,
    shared: Shared,
    stream: Stream,
}

impl Watcher {
    /// Follows those to be watched and opens the timeline.
    pub(super) async fn open(
        number: u32,
        client: Client,
        watched: Vec<String>,
        shared: Shared,
    ) -> Result<Self> {
        let user = client.login().username.clone();
        for followee in watched {
            let followed = client.follow(followee).await;
            followed.doing(format_args!("let {user} follow"))?;
        }
        let after = client.seen();
        let server = shared.server(&client);
        let start = shared.clock.now();
        let timeline = client.timeline().after(after).open().await;
        let timeline = timeline.doing(format_args!("open the timeline of {user}"))?;
        Ok(Self {
            timeline,
            stream: Stream {
                client: number,
                user,
                server,
                after: after.get(),
                until: None,
                start,
                end: start,
                events: Vec::new(),
                failed: None,
            },
            shared,
        })
    }

    /// Reads until the marker comes.
    pub(super) async fn run(mut self, halt: CancellationToken) -> Stream {
        while self.stream.until.is_none() {
            let came = tokio::select! {
                came = self.timeline.next() => came,
                () = halt.cancelled() => break,
            };
            match came {
                Some(Ok(came)) => self.note(came),
                Some(Err(error)) => self.stream.failed = Some(error.to_string()),
                None => break,
            }
        }
        self.stream.end = self.shared.clock.now();
        self.stream
    }

    fn note(&mut self, came: Came) {
        let at = self.shared.clock.now();
        let event = match came {
            Came::Post(post) => {
                let post = seen(post);
                if post.author == MARKER {
                    self.stream.until = Some(post.id);
                }
                Event::Post { at, post }
            }
            Came::Deleted { id, seq, .. } => Event::Deleted {
                at,
                id: id.get(),
                seq: seq.get(),
            },
            Came::Lost { server, .. } => Event::Lost {
                at,
                server: self.shared.wires.behind(&server),
            },
            Came::Resumed { server, .. } => Event::Resumed {
                at,
                server: self.shared.wires.behind(&server),
            },
            _ => return,
        };
        self.stream.events.push(event);
    }
}
