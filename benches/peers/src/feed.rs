//! What all systems under comparison offer, in the same words.

use std::future::Future;

use crate::failure::Result;

/// Posts on a page.
pub const PAGE: usize = 20;

/// A post as a client has it after reading a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The system's own id; greater is newer.
    pub id: u64,
    /// Who wrote it.
    pub author: u32,
    /// What it says.
    pub text: String,
}

/// A client of one system; users are numbers of the graph.
pub trait Feed: Send + Sync + 'static {
    /// The newest posts of those whom `user` follows and of `user`, at most [`PAGE`], newest first.
    fn home(&self, user: u32) -> impl Future<Output = Result<Vec<Post>>> + Send;

    /// The newest posts of `user`, at most [`PAGE`], newest first.
    fn user_page(&self, user: u32) -> impl Future<Output = Result<Vec<Post>>> + Send;

    /// Posts; durable, as far as the system was told to be, when it returns.
    fn post(&self, user: u32, text: &str) -> impl Future<Output = Result<()>> + Send;

    /// `user` follows `followee`, which is no error if it is so already.
    fn follow(&self, user: u32, followee: u32) -> impl Future<Output = Result<()>> + Send;
}
