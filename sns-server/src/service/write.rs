//! The writes: a follow, a post, and their undoing.

use sns_core::{RequestId, Seq, Sns, Username};
use sns_proto::v1::{
    CreatePostRequest, CreatePostResponse, DeletePostRequest, DeletePostResponse, FollowRequest,
    FollowResponse, UnfollowRequest, UnfollowResponse,
};
use tonic::{Request, Response, Status};

use super::call::{Deadline, Shared, outcome};
use super::{encode, status};
use crate::token::{Caller, Scopes};

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

/// The handle for a write: the node has caught up.
async fn writable(shared: &Shared, caller: &Caller, deadline: Deadline) -> Result<Sns, Status> {
    shared.reach_as(caller, Seq::ZERO, false, deadline).await
}

pub(crate) async fn follow(
    shared: &Shared,
    request: Request<FollowRequest>,
) -> Result<Response<FollowResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::POST)?;
    shared.rates().follow(&caller.user)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let followee = Username::parse(&request.username).map_err(status::of)?;
    let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
    let sns = writable(shared, &caller, deadline).await?;
    let pending = identity.write(&sns).follow(&caller.user, &followee);
    let seq = outcome(pending, deadline).await?.as_u64();
    Ok(Response::new(FollowResponse { seq }))
}

pub(crate) async fn unfollow(
    shared: &Shared,
    request: Request<UnfollowRequest>,
) -> Result<Response<UnfollowResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::POST)?;
    shared.rates().follow(&caller.user)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let followee = Username::parse(&request.username).map_err(status::of)?;
    let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
    let sns = writable(shared, &caller, deadline).await?;
    let pending = identity.write(&sns).unfollow(&caller.user, &followee);
    let seq = outcome(pending, deadline).await?.as_u64();
    Ok(Response::new(UnfollowResponse { seq }))
}

pub(crate) async fn create_post(
    shared: &Shared,
    request: Request<CreatePostRequest>,
) -> Result<Response<CreatePostResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::POST)?;
    shared.rates().post(&caller.user)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
    let sns = writable(shared, &caller, deadline).await?;
    let pending = identity.write(&sns).post(&caller.user, &request.text);
    let post = Some(encode::post(&outcome(pending, deadline).await?));
    Ok(Response::new(CreatePostResponse { post }))
}

pub(crate) async fn delete_post(
    shared: &Shared,
    request: Request<DeletePostRequest>,
) -> Result<Response<DeletePostResponse>, Status> {
    let caller = shared.caller(request.metadata(), Scopes::POST)?;
    shared.rates().post(&caller.user)?;
    let deadline = Deadline::of(request.metadata());
    let request = request.into_inner();
    let identity = Identity::parse(&request.request_id, request.seen).map_err(status::of)?;
    let sns = writable(shared, &caller, deadline).await?;
    let id = Seq::from_u64(request.id);
    let pending = identity.write(&sns).delete(&caller.user, id);
    let seq = outcome(pending, deadline).await?.as_u64();
    Ok(Response::new(DeletePostResponse { seq }))
}
