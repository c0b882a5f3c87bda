//! `/api/v1`: the calls of `SnsService` as JSON. Decode, call the same service, encode.
//!
//! Ids and seqs are strings in what is sent: JavaScript's numbers end at 2^53. Both are taken.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sns_proto::v1;
use sns_proto::v1::UserFilter;
use sns_proto::v1::sns_service_server::SnsService as _;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::Site;
use super::answer::{Json, Refused, body, query};

type Answer<T> = Result<Json<T>, Refused>;

/// A number of 64 bits: a string in JSON, or a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Id(pub(super) u64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text.parse().map(Self).map_err(|_| {
                serde::de::Error::custom(format!("{text:?} is no number of up to 64 bits"))
            }),
        }
    }
}

/// A post as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct PostShape {
    id: Id,
    author: String,
    text: String,
    created_at: String,
}

impl From<v1::Post> for PostShape {
    fn from(post: v1::Post) -> Self {
        Self {
            id: Id(post.id),
            author: post.author,
            text: post.text,
            created_at: time(post.created_at),
        }
    }
}

#[derive(Serialize)]
struct UserShape {
    username: String,
    created_at: String,
}

/// RFC 3339, UTC.
fn time(at: Option<prost_types::Timestamp>) -> String {
    let at = at.unwrap_or_default();
    jiff::Timestamp::new(at.seconds, at.nanos).map_or_else(|_| String::new(), |at| at.to_string())
}

/// The call as gRPC would have brought it.
pub(super) fn request<T>(headers: &HeaderMap, message: T) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata(headers);
    request
}

/// The part of the path that stands for a name or an id.
fn named(part: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let part = part.map_err(|e| Refused::invalid(format!("the path makes no sense: {e}")))?;
    Ok(part.0)
}

/// Of the headers, those that a call looks at.
pub(super) fn metadata(headers: &HeaderMap) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let token = headers.get(AUTHORIZATION);
    // What is no text is no token either: it is left for the check of the token to refuse.
    let token = token.map(|value| MetadataValue::<Ascii>::try_from(value.as_bytes()));
    if let Some(token) = token {
        metadata.insert(
            "authorization",
            token.unwrap_or(MetadataValue::from_static("?")),
        );
    }
    metadata
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    username: String,
    #[serde(default)]
    password: String,
}

#[derive(Serialize)]
pub(super) struct LoggedIn {
    token: String,
    username: String,
    created: bool,
    seq: Id,
}

pub(super) async fn login(
    State(site): State<Site>,
    headers: HeaderMap,
    sent: Body,
) -> Answer<LoggedIn> {
    let Login { username, password } = body(&headers, sent).await?;
    let asked = v1::LoginRequest { username, password };
    let answer = site.api().login(request(&headers, asked)).await?;
    let answer = answer.into_inner();
    Ok(Json(LoggedIn {
        token: answer.token,
        username: answer.username,
        created: answer.created,
        seq: Id(answer.seq),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Followee {
    username: String,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    seen: Id,
}

#[derive(Serialize)]
pub(super) struct Changed {
    pub(super) seq: Id,
}

pub(super) async fn follow(
    State(site): State<Site>,
    headers: HeaderMap,
    sent: Body,
) -> Answer<Changed> {
    let asked: Followee = body(&headers, sent).await?;
    let asked = v1::FollowRequest {
        username: asked.username,
        request_id: asked.request_id,
        seen: asked.seen.0,
    };
    let answer = site.api().follow(request(&headers, asked)).await?;
    let seq = Id(answer.into_inner().seq);
    Ok(Json(Changed { seq }))
}

pub(super) async fn unfollow(
    State(site): State<Site>,
    headers: HeaderMap,
    sent: Body,
) -> Answer<Changed> {
    let asked: Followee = body(&headers, sent).await?;
    let asked = v1::UnfollowRequest {
        username: asked.username,
        request_id: asked.request_id,
        seen: asked.seen.0,
    };
    let answer = site.api().unfollow(request(&headers, asked)).await?;
    let seq = Id(answer.into_inner().seq);
    Ok(Json(Changed { seq }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPost {
    text: String,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    seen: Id,
}

#[derive(Serialize)]
pub(super) struct Posted {
    post: Option<PostShape>,
}

pub(super) async fn create_post(
    State(site): State<Site>,
    headers: HeaderMap,
    sent: Body,
) -> Answer<Posted> {
    let asked: NewPost = body(&headers, sent).await?;
    let asked = v1::CreatePostRequest {
        text: asked.text,
        request_id: asked.request_id,
        seen: asked.seen.0,
    };
    let answer = site.api().create_post(request(&headers, asked)).await?;
    let post = answer.into_inner().post.map(PostShape::from);
    Ok(Json(Posted { post }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Once {
    request_id: String,
    seen: u64,
}

pub(super) async fn delete_post(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<Changed> {
    let once: Once = query(&uri)?;
    let id = named(id)?;
    let id = id
        .parse()
        .map_err(|_| Refused::invalid(format!("{id:?} is no id of a post")))?;
    let asked = v1::DeletePostRequest {
        id,
        request_id: once.request_id,
        seen: once.seen,
    };
    let answer = site.api().delete_post(request(&headers, asked)).await?;
    let seq = Id(answer.into_inner().seq);
    Ok(Json(Changed { seq }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HomePage {
    limit: i32,
    page_token: String,
    before: u64,
    at_least: u64,
    linearizable: bool,
    since_follow: bool,
    exclude_own: bool,
}

#[derive(Serialize)]
pub(super) struct PageOfPosts {
    posts: Vec<PostShape>,
    next_page_token: String,
    seq: Id,
}

pub(super) async fn home(
    State(site): State<Site>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<PageOfPosts> {
    let page: HomePage = query(&uri)?;
    let asked = v1::GetHomeTimelineRequest {
        page_size: page.limit,
        page_token: page.page_token,
        at_least: page.at_least,
        linearizable: page.linearizable,
        since_follow: page.since_follow,
        exclude_own: page.exclude_own,
        before: page.before,
    };
    let answer = site
        .api()
        .get_home_timeline(request(&headers, asked))
        .await?;
    let answer = answer.into_inner();
    Ok(Json(PageOfPosts {
        posts: answer.posts.into_iter().map(PostShape::from).collect(),
        next_page_token: answer.next_page_token,
        seq: Id(answer.seq),
    }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PostsPage {
    limit: i32,
    page_token: String,
    before: u64,
    at_least: u64,
    linearizable: bool,
}

pub(super) async fn posts_of(
    State(site): State<Site>,
    username: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<PageOfPosts> {
    let page: PostsPage = query(&uri)?;
    let username = named(username)?;
    let asked = v1::GetUserTimelineRequest {
        username,
        page_size: page.limit,
        page_token: page.page_token,
        at_least: page.at_least,
        linearizable: page.linearizable,
        before: page.before,
    };
    let answer = site
        .api()
        .get_user_timeline(request(&headers, asked))
        .await?;
    let answer = answer.into_inner();
    Ok(Json(PageOfPosts {
        posts: answer.posts.into_iter().map(PostShape::from).collect(),
        next_page_token: answer.next_page_token,
        seq: Id(answer.seq),
    }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UsersPage {
    limit: i32,
    page_token: String,
    at_least: u64,
    linearizable: bool,
}

#[derive(Serialize)]
pub(super) struct PageOfUsers {
    users: Vec<UserShape>,
    next_page_token: String,
    seq: Id,
}

async fn list(
    site: &Site,
    filter: UserFilter,
    username: String,
    uri: &Uri,
    headers: &HeaderMap,
) -> Answer<PageOfUsers> {
    let page: UsersPage = query(uri)?;
    let asked = v1::ListUsersRequest {
        filter: filter.into(),
        username,
        page_size: page.limit,
        page_token: page.page_token,
        at_least: page.at_least,
        linearizable: page.linearizable,
    };
    let answer = site.api().list_users(request(headers, asked)).await?;
    let answer = answer.into_inner();
    let user = |user: v1::User| UserShape {
        username: user.username,
        created_at: time(user.created_at),
    };
    Ok(Json(PageOfUsers {
        users: answer.users.into_iter().map(user).collect(),
        next_page_token: answer.next_page_token,
        seq: Id(answer.seq),
    }))
}

pub(super) async fn users(
    State(site): State<Site>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<PageOfUsers> {
    list(&site, UserFilter::All, String::new(), &uri, &headers).await
}

pub(super) async fn followers(
    State(site): State<Site>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<PageOfUsers> {
    list(&site, UserFilter::Followers, named(name)?, &uri, &headers).await
}

pub(super) async fn following(
    State(site): State<Site>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<PageOfUsers> {
    list(&site, UserFilter::Following, named(name)?, &uri, &headers).await
}
