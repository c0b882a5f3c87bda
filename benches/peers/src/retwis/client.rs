//! Posts and pages on Redis.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value};

use super::{HOME_CAP, HomeWay, PostWay, RedisServer, TRIM_SLACK, Ways};
use crate::failure::{Doing as _, Failure, Result};
use crate::feed::{Feed, PAGE, Post};

/// Follows that are sent at once when a graph is loaded.
const LOAD_BATCH: usize = 5_000;

/// `ARGV`: author, time, text. Redis runs a script alone and writes its effects to the append-only
/// file as one transaction.
const POST: &str = "
local id = redis.call('INCR', 'n')
redis.call('SET', 'p:' .. id, id .. ' ' .. ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('LPUSH', 'u:' .. ARGV[1], id)
local cap, most = tonumber(ARGV[4]), tonumber(ARGV[5])
local function push(key)
  if redis.call('LPUSH', key, id) > most then redis.call('LTRIM', key, 0, cap - 1) end
end
push('h:' .. ARGV[1])
for _, user in ipairs(redis.call('SMEMBERS', 'f:' .. ARGV[1])) do push('h:' .. user) end
return id";

/// `ARGV`: reader, index of the last post.
const HOME: &str = "
local ids = redis.call('LRANGE', ARGV[1], 0, ARGV[2])
if #ids == 0 then return ids end
for at, id in ipairs(ids) do ids[at] = 'p:' .. id end
return redis.call('MGET', unpack(ids))";

/// A client of Retwis: shares a few sockets among all who hold a clone.
#[derive(Clone, Debug)]
pub struct Retwis {
    socket: MultiplexedConnection,
    scripts: Arc<Scripts>,
    ways: Ways,
}

/// The names by which Redis knows the scripts.
#[derive(Debug)]
struct Scripts {
    post: String,
    home: String,
}

impl Retwis {
    /// Clients over `ways.sockets` connections: callers take them in turn.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn connect(server: &RedisServer, ways: Ways) -> Result<Vec<Self>> {
        let mut first = server.connect().await?;
        let scripts = Arc::new(Scripts {
            post: load(&mut first, POST).await?,
            home: load(&mut first, HOME).await?,
        });
        let mut clients = Vec::new();
        for _ in 0..ways.sockets.max(1) {
            clients.push(Self {
                socket: server.connect().await?,
                scripts: Arc::clone(&scripts),
                ways,
            });
        }
        Ok(clients)
    }

    /// Loads a graph: the first follows the second.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn load(&self, follows: &[(u32, u32)]) -> Result<()> {
        for batch in follows.chunks(LOAD_BATCH) {
            let mut pipe = Pipeline::with_capacity(batch.len() * 2);
            for (user, followee) in batch {
                follow(&mut pipe, *user, *followee);
            }
            self.pipe::<()>(&pipe).await.doing("load the graph")?;
        }
        Ok(())
    }

    async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, RedisError> {
        let answer = self.socket.clone().send_packed_command(cmd).await?;
        Ok(redis::from_redis_value(answer)?)
    }

    async fn pipe<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, RedisError> {
        pipe.query_async(&mut self.socket.clone()).await
    }

    /// Posts named by ids in a list.
    async fn by_sort(&self, list: String) -> Result<Vec<Post>> {
        let mut cmd = redis::cmd("SORT_RO");
        cmd.arg(list).arg(&["BY", "nosort", "LIMIT", "0"]);
        cmd.arg(PAGE).arg("GET").arg("p:*");
        posts(self.ask(&cmd).await.doing("read a page")?)
    }

    async fn by_script(&self, list: String) -> Result<Vec<Post>> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.scripts.home).arg(0).arg(list).arg(PAGE - 1);
        posts(self.ask(&cmd).await.doing("read a page")?)
    }

    async fn by_two_trips(&self, list: String) -> Result<Vec<Post>> {
        let mut cmd = redis::cmd("LRANGE");
        cmd.arg(list).arg(0).arg(PAGE - 1);
        let ids: Vec<u64> = self.ask(&cmd).await.doing("read a list")?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("MGET");
        for id in ids {
            cmd.arg(format!("p:{id}"));
        }
        posts(self.ask(&cmd).await.doing("read posts")?)
    }

    async fn page(&self, list: String) -> Result<Vec<Post>> {
        match self.ways.home {
            HomeWay::Sort => self.by_sort(list).await,
            HomeWay::Script => self.by_script(list).await,
            HomeWay::TwoTrips => self.by_two_trips(list).await,
        }
    }

    async fn post_by_script(&self, user: u32, text: &str) -> Result<()> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.scripts.post).arg(0);
        cmd.arg(user).arg(now()).arg(text);
        cmd.arg(HOME_CAP).arg(HOME_CAP + TRIM_SLACK);
        let _id: u64 = self.ask(&cmd).await.doing("post")?;
        Ok(())
    }

    async fn post_by_pipeline(&self, user: u32, text: &str) -> Result<()> {
        let mut first = Pipeline::with_capacity(2);
        first.cmd("INCR").arg("n");
        first.cmd("SMEMBERS").arg(format!("f:{user}"));
        let (id, followers): (u64, Vec<u32>) = self.pipe(&first).await.doing("number a post")?;
        let mut second = Pipeline::with_capacity(followers.len() + 3);
        second.atomic();
        let post = format!("{id} {user} {} {text}", now());
        second.cmd("SET").arg(format!("p:{id}")).arg(post);
        second.cmd("LPUSH").arg(format!("u:{user}")).arg(id);
        for reader in followers.iter().chain([&user]) {
            second.cmd("LPUSH").arg(format!("h:{reader}")).arg(id);
        }
        let lengths: Vec<Value> = self.pipe(&second).await.doing("post")?;
        let mut third = Pipeline::new();
        for (reader, length) in followers.iter().chain([&user]).zip(lengths.iter().skip(2)) {
            if matches!(length, Value::Int(length) if *length > over()) {
                third.cmd("LTRIM").arg(format!("h:{reader}"));
                third.arg(0).arg(HOME_CAP - 1);
            }
        }
        if third.is_empty() {
            return Ok(());
        }
        self.pipe::<()>(&third).await.doing("trim")
    }
}

/// A home list that is longer than this is trimmed.
fn over() -> i64 {
    i64::try_from(HOME_CAP + TRIM_SLACK).unwrap_or(i64::MAX)
}

impl Feed for Retwis {
    async fn home(&self, user: u32) -> Result<Vec<Post>> {
        self.page(format!("h:{user}")).await
    }

    async fn user_page(&self, user: u32) -> Result<Vec<Post>> {
        self.page(format!("u:{user}")).await
    }

    async fn post(&self, user: u32, text: &str) -> Result<()> {
        match self.ways.post {
            PostWay::Script => self.post_by_script(user, text).await,
            PostWay::Pipeline => self.post_by_pipeline(user, text).await,
        }
    }

    async fn follow(&self, user: u32, followee: u32) -> Result<()> {
        let mut pipe = Pipeline::with_capacity(2);
        pipe.atomic();
        follow(&mut pipe, user, followee);
        self.pipe::<()>(&pipe).await.doing("follow")
    }
}

fn follow(pipe: &mut Pipeline, user: u32, followee: u32) {
    pipe.cmd("SADD").arg(format!("f:{followee}")).arg(user);
    pipe.ignore();
    pipe.cmd("SADD").arg(format!("g:{user}")).arg(followee);
    pipe.ignore();
}

async fn load(connection: &mut MultiplexedConnection, script: &str) -> Result<String> {
    let mut cmd = redis::cmd("SCRIPT");
    cmd.arg("LOAD").arg(script);
    cmd.query_async(connection).await.doing("load a script")
}

/// Micros since 1970: Retwis takes the time where the client runs, too.
fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Takes packed posts apart. One that is gone is left out.
fn posts(packed: Vec<Option<Vec<u8>>>) -> Result<Vec<Post>> {
    packed.into_iter().flatten().map(post).collect()
}

fn post(packed: Vec<u8>) -> Result<Post> {
    let broken = || Failure("Redis holds a post that is none".to_owned());
    let packed = String::from_utf8(packed).map_err(|_| broken())?;
    let mut parts = packed.splitn(4, ' ');
    let mut next = || parts.next().ok_or_else(broken);
    let id = next()?.parse().map_err(|_| broken())?;
    let author = next()?.parse().map_err(|_| broken())?;
    next()?;
    let text = next()?.to_owned();
    Ok(Post { id, author, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_post_is_taken_apart_and_its_text_may_hold_anything() {
        let packed = b"7 3 1700000000000000 two words \n 9".to_vec();
        let taken = posts(vec![None, Some(packed)]).unwrap();
        let text = "two words \n 9".to_owned();
        assert_eq!(
            taken,
            [Post {
                id: 7,
                author: 3,
                text
            }]
        );
    }

    #[test]
    fn what_is_no_post_is_refused() {
        for packed in [
            &b"7 3 17"[..],
            b"x 3 17 text",
            b"7 y 17 text",
            b"7 3 17 \xff",
        ] {
            assert!(post(packed.to_vec()).is_err(), "{packed:?}");
        }
    }
}
