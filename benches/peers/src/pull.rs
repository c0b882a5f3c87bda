//! `PostgreSQL` 15 with indexed pull: nothing is fanned out, a page is merged when it is read.
//!
//! `posts (author, id DESC)` gives the newest ids of each followee from the index alone; of these
//! the newest 20 are taken, and only their rows are read; or the tables are simply joined, which is
//! faster where people follow few and post little. The run takes what is fastest on its graph; see
//! [`Query`]. Statements are prepared, and the plan is kept: planning one of these queries anew
//! takes longer than running it (measured with pgbench on Reed98: 6,400/s against 4,200/s).
//!
//! Sixteen sessions are shared by all callers. Each session does one statement at a time: fewer
//! cannot commit together, more only switch on two cores.
//!
//! What it does not give, and SNS does: `id` is drawn before the commit, so posts of two sessions
//! can become visible out of order and a cursor over `id` can miss one; a request that is sent
//! again is done again; nothing is replicated; there are no streams.

pub mod client;
pub mod server;

pub use client::Pull;
pub use server::PostgresServer;

/// The tables, before they are loaded.
pub(crate) const TABLES: &str = "
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE follows (follower int NOT NULL, followee int NOT NULL,
                      PRIMARY KEY (follower, followee));
CREATE TABLE posts (id bigserial PRIMARY KEY, author int NOT NULL, text text NOT NULL,
                    created_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX posts_author ON posts (author, id DESC);";

/// How the home page is asked for; the choice is measured by `sns-peers schemes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Query {
    /// The newest 20 ids of each followee from the index alone, the newest 20 of these, their rows.
    #[default]
    LateralIds,
    /// The same with whole rows from the start: reads up to 20 rows of each followee.
    LateralRows,
    /// First the newest id of each followee: the author with the nth newest can have at most
    /// `21 - n` posts on the page. Reads fewer ids with more plan nodes.
    LateralRanked,
    /// Posts joined with follows, sorted: what one writes first.
    Join,
    /// All posts, newest first, until 20 are of followees: good only while everybody follows many.
    Scan,
}

impl Query {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LateralIds,
        Self::LateralRows,
        Self::LateralRanked,
        Self::Join,
        Self::Scan,
    ];

    /// As text, `$1` being the reader.
    pub(crate) fn sql(self) -> String {
        const FOLLOWEES: &str =
            "(SELECT followee FROM follows WHERE follower = $1 UNION ALL SELECT $1) f";
        const ROW: &str = "p.id, p.author, p.text, p.created_at";
        match self {
            Self::LateralIds => format!(
                "SELECT {ROW} FROM (SELECT q.id FROM {FOLLOWEES} CROSS JOIN LATERAL
                   (SELECT id FROM posts WHERE author = f.followee ORDER BY id DESC LIMIT 20) q
                   ORDER BY q.id DESC LIMIT 20) t
                 CROSS JOIN LATERAL (SELECT * FROM posts WHERE id = t.id) p ORDER BY p.id DESC"
            ),
            Self::LateralRows => format!(
                "SELECT {ROW} FROM {FOLLOWEES} CROSS JOIN LATERAL
                   (SELECT * FROM posts WHERE author = f.followee ORDER BY id DESC LIMIT 20) p
                 ORDER BY p.id DESC LIMIT 20"
            ),
            Self::LateralRanked => format!(
                "SELECT {ROW} FROM (SELECT q.id FROM
                   (SELECT n.author, row_number() OVER (ORDER BY n.id DESC) AS rank
                      FROM {FOLLOWEES} CROSS JOIN LATERAL
                        (SELECT author, id FROM posts WHERE author = f.followee
                         ORDER BY id DESC LIMIT 1) n
                      ORDER BY n.id DESC LIMIT 20) a
                   CROSS JOIN LATERAL (SELECT id FROM posts WHERE author = a.author
                                       ORDER BY id DESC LIMIT 21 - a.rank) q
                   ORDER BY q.id DESC LIMIT 20) t
                 CROSS JOIN LATERAL (SELECT * FROM posts WHERE id = t.id) p ORDER BY p.id DESC"
            ),
            Self::Join => format!(
                "SELECT {ROW} FROM posts p JOIN {FOLLOWEES} ON p.author = f.followee
                 ORDER BY p.id DESC LIMIT 20"
            ),
            Self::Scan => format!(
                "SELECT {ROW} FROM posts p WHERE author =
                   ANY (ARRAY(SELECT followee FROM follows WHERE follower = $1) || $1)
                 ORDER BY id DESC LIMIT 20"
            ),
        }
    }
}
