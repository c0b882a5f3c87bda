//! Posts and pages on `PostgreSQL`.

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::{Client, Row, Statement};

use super::{PostgresServer, Query, TABLES};
use crate::failure::{Doing as _, Failure, Result};
use crate::feed::{Feed, Post};

/// Bytes that are sent at once when a graph is loaded.
const LOAD_BATCH: usize = 256 * 1_024;

/// A session with its prepared statements. Calls that come together are pipelined.
#[derive(Debug)]
pub struct Pull {
    client: Client,
    home: Statement,
    user_page: Statement,
    post: Statement,
    follow: Statement,
}

impl Pull {
    /// Opens so many sessions; the tables must be there.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn connect(
        server: &PostgresServer,
        durable: bool,
        query: Query,
        sessions: usize,
    ) -> Result<Vec<Self>> {
        let mut all = Vec::with_capacity(sessions);
        for _ in 0..sessions {
            all.push(Self::open(server.connect(durable).await?, query).await?);
        }
        Ok(all)
    }

    async fn open(client: Client, query: Query) -> Result<Self> {
        let prepare = async |sql: &str| client.prepare(sql).await.doing("prepare a query");
        Ok(Self {
            home: prepare(&query.sql()).await?,
            user_page: prepare(
                "SELECT id, author, text, created_at FROM posts WHERE author = $1
                 ORDER BY id DESC LIMIT 20",
            )
            .await?,
            post: prepare("INSERT INTO posts (author, text) VALUES ($1, $2) RETURNING id").await?,
            follow: prepare(
                "INSERT INTO follows (follower, followee) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .await?,
            client,
        })
    }

    /// Makes the tables and loads a graph: the first follows the second.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn load(
        server: &PostgresServer,
        users: &[String],
        follows: &[(u32, u32)],
    ) -> Result<()> {
        let client = server.connect(true).await?;
        client
            .batch_execute(TABLES)
            .await
            .doing("make the tables")?;
        let rows = users.iter().enumerate();
        let rows = rows.map(|(user, name)| format!("{user}\t{name}\n"));
        copy(&client, "COPY users FROM STDIN", rows).await?;
        let rows = follows.iter();
        let rows = rows.map(|(user, followee)| format!("{user}\t{followee}\n"));
        copy(&client, "COPY follows FROM STDIN", rows).await?;
        Self::settle(server).await
    }

    /// Brings statistics and the visibility map up to date, as autovacuum does in time.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn settle(server: &PostgresServer) -> Result<()> {
        let client = server.connect(true).await?;
        client.batch_execute("VACUUM ANALYZE").await.doing("vacuum")
    }

    /// How the home page of a user is read: `EXPLAIN ANALYZE`.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn explain(server: &PostgresServer, query: Query, user: u32) -> Result<String> {
        let client = server.connect(true).await?;
        let sql = query.sql();
        let prepare = format!("PREPARE home (int) AS {sql}");
        client.batch_execute(&prepare).await.doing("prepare")?;
        let explain = format!("EXPLAIN (ANALYZE, COSTS OFF) EXECUTE home({user})");
        let lines = client.simple_query(&explain).await.doing("explain")?;
        let lines = lines.iter().filter_map(|line| match line {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

async fn copy(client: &Client, sql: &str, rows: impl Iterator<Item = String>) -> Result<()> {
    let sink = client.copy_in::<_, Bytes>(sql).await.doing("load")?;
    let mut sink = Box::pin(sink);
    let mut batch = String::with_capacity(LOAD_BATCH + 64);
    for row in rows {
        batch.push_str(&row);
        if batch.len() >= LOAD_BATCH {
            let full = std::mem::take(&mut batch);
            sink.send(Bytes::from(full)).await.doing("load")?;
        }
    }
    sink.send(Bytes::from(batch)).await.doing("load")?;
    sink.as_mut().finish().await.doing("load").map(drop)
}

/// As the tables have it.
fn number(user: u32) -> Result<i32> {
    i32::try_from(user).doing("number a user")
}

fn posts(rows: &[Row]) -> Result<Vec<Post>> {
    rows.iter().map(post).collect()
}

fn post(row: &Row) -> Result<Post> {
    let id: i64 = row.try_get(0).doing("read a post")?;
    let author: i32 = row.try_get(1).doing("read a post")?;
    let broken = |_| Failure("postgres holds a post that is none".to_owned());
    Ok(Post {
        id: u64::try_from(id).map_err(broken)?,
        author: u32::try_from(author).map_err(broken)?,
        text: row.try_get(2).doing("read a post")?,
    })
}

impl Feed for Pull {
    async fn home(&self, user: u32) -> Result<Vec<Post>> {
        let rows = self.client.query(&self.home, &[&number(user)?]).await;
        posts(&rows.doing("read a home page")?)
    }

    async fn user_page(&self, user: u32) -> Result<Vec<Post>> {
        let rows = self.client.query(&self.user_page, &[&number(user)?]).await;
        posts(&rows.doing("read a user page")?)
    }

    async fn post(&self, user: u32, text: &str) -> Result<()> {
        let user = number(user)?;
        let posted = self.client.query_one(&self.post, &[&user, &text]).await;
        posted.doing("post").map(drop)
    }

    async fn follow(&self, user: u32, followee: u32) -> Result<()> {
        let (user, followee) = (number(user)?, number(followee)?);
        let done = self.client.execute(&self.follow, &[&user, &followee]).await;
        done.doing("follow").map(drop)
    }
}
