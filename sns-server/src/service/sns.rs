//! [`SnsApi`]: the service that users call. Decode, call the core, encode.

use futures_util::stream::Stream;
use sns_core::limits;
use sns_proto::v1::sns_service_server::{SnsService, SnsServiceServer};
use sns_proto::v1::{
    CreatePostRequest, CreatePostResponse, DeletePostRequest, DeletePostResponse, FollowRequest,
    FollowResponse, GetHomeTimelineRequest, GetHomeTimelineResponse, GetUserTimelineRequest,
    GetUserTimelineResponse, ListUsersRequest, ListUsersResponse, LoginRequest, LoginResponse,
    TimelineRequest, UnfollowRequest, UnfollowResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::auth::AuthApi;
use super::call::{Deadline, Shared};
use super::timeline::{Responses, Timeline};
use super::{accounts, read, write};
use crate::metrics::Method;
use crate::rates::Rates;
use crate::token::Scopes;

/// Bytes of an answer: a full page of the longest posts is 0.8 MiB.
const ANSWER_BYTES: usize = 1024 * 1024;

/// Serves `sns.v1.SnsService` from one replica.
#[derive(Clone, Debug)]
pub struct SnsApi {
    shared: Shared,
}

impl SnsApi {
    /// Of a node.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// How much each may do.
    pub(crate) fn rates(&self) -> &Rates {
        self.shared.rates()
    }

    /// For a tonic server; messages over 64 KiB are refused (`OUT_OF_RANGE`).
    pub fn into_service(self) -> SnsServiceServer<Self> {
        SnsServiceServer::new(self)
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .max_encoding_message_size(ANSWER_BYTES)
    }

    /// Who calls, with a token that is good for `scopes` and was not revoked.
    pub(crate) async fn admit(&self, metadata: &MetadataMap, scopes: Scopes) -> Result<(), Status> {
        let caller = self.shared.caller(metadata, scopes)?;
        let deadline = Deadline::of(metadata);
        let reached = self.shared.reach_as(&caller, caller.since, false, deadline);
        reached.await.map(drop)
    }

    /// How people get in.
    pub(crate) fn policy(&self) -> accounts::Policy {
        self.shared.accounts().policy
    }

    /// What the pages call of `AuthService`.
    pub(crate) fn auth(&self) -> AuthApi {
        AuthApi::new(self.shared.clone())
    }

    /// Opens TIMELINE mode; what refuses it later is the last item.
    pub(crate) fn open_timeline<R>(
        &self,
        metadata: &MetadataMap,
        requests: R,
    ) -> Result<Responses, Status>
    where
        R: Stream<Item = Result<TimelineRequest, Status>> + Send + Unpin + 'static,
    {
        let caller = self.shared.caller(metadata, Scopes::READ)?;
        let permit = self.shared.rates().stream(&caller.user)?;
        let deadline = Deadline::of(metadata);
        let timeline = Timeline::new(self.shared.clone(), caller, deadline, requests);
        let timeline = timeline.counted(permit);
        Ok(timeline.into_responses())
    }
}

#[tonic::async_trait]
impl SnsService for SnsApi {
    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let call = accounts::login(&self.shared, request);
        self.shared.measured(Method::Login, call).await
    }

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<FollowResponse>, Status> {
        let call = write::follow(&self.shared, request);
        self.shared.measured(Method::Follow, call).await
    }

    async fn unfollow(
        &self,
        request: Request<UnfollowRequest>,
    ) -> Result<Response<UnfollowResponse>, Status> {
        let call = write::unfollow(&self.shared, request);
        self.shared.measured(Method::Unfollow, call).await
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let call = read::list_users(&self.shared, request);
        self.shared.measured(Method::ListUsers, call).await
    }

    async fn create_post(
        &self,
        request: Request<CreatePostRequest>,
    ) -> Result<Response<CreatePostResponse>, Status> {
        let call = write::create_post(&self.shared, request);
        self.shared.measured(Method::CreatePost, call).await
    }

    async fn delete_post(
        &self,
        request: Request<DeletePostRequest>,
    ) -> Result<Response<DeletePostResponse>, Status> {
        let call = write::delete_post(&self.shared, request);
        self.shared.measured(Method::DeletePost, call).await
    }

    async fn get_home_timeline(
        &self,
        request: Request<GetHomeTimelineRequest>,
    ) -> Result<Response<GetHomeTimelineResponse>, Status> {
        let call = read::home(&self.shared, request);
        self.shared.measured(Method::GetHomeTimeline, call).await
    }

    async fn get_user_timeline(
        &self,
        request: Request<GetUserTimelineRequest>,
    ) -> Result<Response<GetUserTimelineResponse>, Status> {
        let call = read::posts_of(&self.shared, request);
        self.shared.measured(Method::GetUserTimeline, call).await
    }

    type TimelineStream = Responses;

    async fn timeline(
        &self,
        request: Request<Streaming<TimelineRequest>>,
    ) -> Result<Response<Self::TimelineStream>, Status> {
        let (metadata, _, requests) = request.into_parts();
        Ok(Response::new(self.open_timeline(&metadata, requests)?))
    }
}
