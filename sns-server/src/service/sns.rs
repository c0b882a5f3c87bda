//! [`SnsApi`]: the service that users call. Decode, call the core, encode.

use sns_core::{RequestId, Seq, Sns, Username, limits};
use sns_proto::v1::sns_service_server::{SnsService, SnsServiceServer};
use sns_proto::v1::{
    CreatePostRequest, CreatePostResponse, DeletePostRequest, DeletePostResponse, ErrorReason,
    FollowRequest, FollowResponse, GetHomeTimelineRequest, GetHomeTimelineResponse,
    GetUserTimelineRequest, GetUserTimelineResponse, ListUsersRequest, ListUsersResponse,
    LoginRequest, LoginResponse, TimelineRequest, UnfollowRequest, UnfollowResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::call::{Deadline, Shared, outcome};
use super::timeline::{Responses, Timeline};
use super::{encode, read, status};

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

    /// For a tonic server; messages over 64 KiB are refused (`OUT_OF_RANGE`).
    pub fn into_service(self) -> SnsServiceServer<Self> {
        SnsServiceServer::new(self).max_decoding_message_size(limits::MESSAGE_BYTES)
    }

    /// The handle for a write: the node has caught up.
    async fn writable(&self, deadline: Deadline) -> Result<Sns, Status> {
        self.shared.reach(Seq::ZERO, false, deadline).await
    }
}

/// What makes a write safe to repeat.
pub(crate) struct Identity {
    id: Option<RequestId>,
    seen: Seq,
}

impl Identity {
    /// Reads the two fields that every write has.
    pub(crate) fn parse(request_id: &str, seen: u64) -> sns_core::Result<Self> {
        let given = !request_id.is_empty();
        Ok(Self {
            id: given.then(|| RequestId::parse(request_id)).transpose()?,
            seen: Seq::from_u64(seen),
        })
    }

    /// A write with this identity; without an id the core draws one, without `seen` it stamps its
    /// own.
    pub(crate) fn write(self, sns: &Sns) -> sns_core::Write {
        let mut write = sns.write();
        if let Some(id) = self.id {
            write = write.request_id(id);
        }
        write.seen(self.seen)
    }
}

#[tonic::async_trait]
impl SnsService for SnsApi {
    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let deadline = Deadline::of(request.metadata());
        let LoginRequest { username, password } = request.into_inner();
        let user = Username::parse(&username).map_err(status::of)?;
        if !password.is_empty() {
            return Err(status::status(
                ErrorReason::PasswordUnsupported,
                "there are no passwords yet: leave it empty",
            ));
        }
        let sns = self.writable(deadline).await?;
        // It looks first whether the user is there: that may be a read from the disk.
        let pending = self.shared.read(move || Ok(sns.create_user(&user))).await?;
        let made = outcome(pending, deadline).await?;
        Ok(Response::new(LoginResponse {
            token: self.shared.key().sign(&user, made.seq),
            created: made.created,
            username: user.to_string(),
            seq: made.seq.as_u64(),
        }))
    }

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<FollowResponse>, Status> {
        let caller = self.shared.caller(request.metadata())?;
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let followee = Username::parse(&request.username).map_err(status::of)?;
        let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
        let sns = self.writable(deadline).await?;
        let pending = identity.write(&sns).follow(&caller.user, &followee);
        let seq = outcome(pending, deadline).await?.as_u64();
        Ok(Response::new(FollowResponse { seq }))
    }

    async fn unfollow(
        &self,
        request: Request<UnfollowRequest>,
    ) -> Result<Response<UnfollowResponse>, Status> {
        let caller = self.shared.caller(request.metadata())?;
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let followee = Username::parse(&request.username).map_err(status::of)?;
        let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
        let sns = self.writable(deadline).await?;
        let pending = identity.write(&sns).unfollow(&caller.user, &followee);
        let seq = outcome(pending, deadline).await?.as_u64();
        Ok(Response::new(UnfollowResponse { seq }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        read::list_users(&self.shared, request).await
    }

    async fn create_post(
        &self,
        request: Request<CreatePostRequest>,
    ) -> Result<Response<CreatePostResponse>, Status> {
        let caller = self.shared.caller(request.metadata())?;
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
        let sns = self.writable(deadline).await?;
        let pending = identity.write(&sns).post(&caller.user, &request.text);
        let post = Some(encode::post(&outcome(pending, deadline).await?));
        Ok(Response::new(CreatePostResponse { post }))
    }

    async fn delete_post(
        &self,
        request: Request<DeletePostRequest>,
    ) -> Result<Response<DeletePostResponse>, Status> {
        let caller = self.shared.caller(request.metadata())?;
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
        let sns = self.writable(deadline).await?;
        let id = Seq::from_u64(request.id);
        let pending = identity.write(&sns).delete(&caller.user, id);
        let seq = outcome(pending, deadline).await?.as_u64();
        Ok(Response::new(DeletePostResponse { seq }))
    }

    async fn get_home_timeline(
        &self,
        request: Request<GetHomeTimelineRequest>,
    ) -> Result<Response<GetHomeTimelineResponse>, Status> {
        read::home(&self.shared, request).await
    }

    async fn get_user_timeline(
        &self,
        request: Request<GetUserTimelineRequest>,
    ) -> Result<Response<GetUserTimelineResponse>, Status> {
        read::posts_of(&self.shared, request).await
    }

    type TimelineStream = Responses;

    async fn timeline(
        &self,
        request: Request<Streaming<TimelineRequest>>,
    ) -> Result<Response<Self::TimelineStream>, Status> {
        let caller = self.shared.caller(request.metadata())?;
        let deadline = Deadline::of(request.metadata());
        let timeline = Timeline::new(self.shared.clone(), caller, deadline, request.into_inner());
        Ok(Response::new(timeline.into_responses()))
    }
}
