//! The pages: users, the home timeline, the posts of one user.

use sns_core::{Page, Post, Seq, Username};
use sns_proto::v1::{
    ErrorReason, GetHomeTimelineRequest, GetHomeTimelineResponse, GetUserTimelineRequest,
    GetUserTimelineResponse, ListUsersRequest, ListUsersResponse, UserFilter,
};
use tonic::{Request, Response, Status};

use super::call::{Deadline, Shared};
use super::{encode, status};
use crate::token::{Caller, Scopes};

/// How many items the caller wants; 0 and too many are the core's to interpret.
fn page_size(wanted: i32) -> Result<usize, Status> {
    usize::try_from(wanted).map_err(|_| {
        status::status(
            ErrorReason::PageSizeInvalid,
            format!("a page cannot have {wanted} items"),
        )
    })
}

/// The state that the answer must include: what the client asks for, and the login of the caller.
fn at_least(asked: u64, caller: &Caller) -> Seq {
    Seq::from_u64(asked).max(caller.since)
}

/// The user that a request names; the caller when it names none.
fn named(username: &str, caller: &Caller) -> Result<Username, Status> {
    if username.is_empty() {
        return Ok(caller.user);
    }
    Username::parse(username).map_err(status::of)
}

/// `next_page_token` is empty exactly when nothing is left.
fn posts(page: Page<Post>) -> (Vec<sns_proto::v1::Post>, String, u64) {
    let posts = page.items.iter().map(encode::post).collect();
    (posts, page.next.unwrap_or_default(), page.seq.as_u64())
}

/// Whom `ListUsers` lists.
enum Listed {
    All,
    FollowersOf(Username),
    FollowedBy(Username),
}

impl Listed {
    fn parse(request: &ListUsersRequest, caller: &Caller) -> Result<Self, Status> {
        let invalid = |why: String| Err(status::status(ErrorReason::FilterInvalid, why));
        match UserFilter::try_from(request.filter) {
            Ok(UserFilter::Unspecified | UserFilter::All) if request.username.is_empty() => {
                Ok(Self::All)
            }
            Ok(UserFilter::Unspecified | UserFilter::All) => {
                invalid("leave the username empty to list everyone".into())
            }
            Ok(UserFilter::Followers) => Ok(Self::FollowersOf(named(&request.username, caller)?)),
            Ok(UserFilter::Following) => Ok(Self::FollowedBy(named(&request.username, caller)?)),
            Err(_) => invalid(format!("there is no filter {}", request.filter)),
        }
    }
}

pub(crate) async fn list_users(
    shared: &Shared,
    request: Request<ListUsersRequest>,
) -> Result<Response<ListUsersResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::READ)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let limit = page_size(request.page_size)?;
    let listed = Listed::parse(&request, &caller)?;
    let at_least = at_least(request.at_least, &caller);
    let sns = shared
        .reach_as(&caller, at_least, request.linearizable, deadline)
        .await?;
    let token = request.page_token;
    let page = shared
        .read(move || {
            let users = match listed {
                Listed::All => sns.users(),
                Listed::FollowersOf(user) => sns.followers(&user),
                Listed::FollowedBy(user) => sns.following(&user),
            };
            users.limit(limit).cursor(&token).page()
        })
        .await?;
    Ok(Response::new(ListUsersResponse {
        users: page.items.iter().map(encode::user).collect(),
        next_page_token: page.next.unwrap_or_default(),
        seq: page.seq.as_u64(),
    }))
}

pub(crate) async fn home(
    shared: &Shared,
    request: Request<GetHomeTimelineRequest>,
) -> Result<Response<GetHomeTimelineResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::READ)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let limit = page_size(request.page_size)?;
    let at_least = at_least(request.at_least, &caller);
    let sns = shared
        .reach_as(&caller, at_least, request.linearizable, deadline)
        .await?;
    let mut home = sns
        .home(&caller.user)
        .limit(limit)
        .cursor(&request.page_token)
        .since_follow(request.since_follow)
        .exclude_own(request.exclude_own);
    if request.before != 0 {
        home = home.before(Seq::from_u64(request.before));
    }
    let page = match home.page_now().map_err(status::of)? {
        Some(page) => page,
        None => shared.read(move || home.page()).await?,
    };
    let (posts, next_page_token, seq) = posts(page);
    Ok(Response::new(GetHomeTimelineResponse {
        posts,
        next_page_token,
        seq,
    }))
}

pub(crate) async fn posts_of(
    shared: &Shared,
    request: Request<GetUserTimelineRequest>,
) -> Result<Response<GetUserTimelineResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::READ)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let limit = page_size(request.page_size)?;
    let user = named(&request.username, &caller)?;
    let at_least = at_least(request.at_least, &caller);
    let sns = shared
        .reach_as(&caller, at_least, request.linearizable, deadline)
        .await?;
    let mut asked = sns.posts_of(&user).limit(limit).cursor(&request.page_token);
    if request.before != 0 {
        asked = asked.before(Seq::from_u64(request.before));
    }
    let page = match asked.page_now().map_err(status::of)? {
        Some(page) => page,
        None => shared.read(move || asked.page()).await?,
    };
    let (posts, next_page_token, seq) = posts(page);
    Ok(Response::new(GetUserTimelineResponse {
        posts,
        next_page_token,
        seq,
    }))
}
