//! The calls of the wire in one shape: how each is stamped, sent, and what its answer tells.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sns_proto::auth::v1 as auth;
use sns_proto::auth::v1::auth_service_client::AuthServiceClient;
use sns_proto::v1;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use crate::ticket::Ticket;

/// A future on the heap: the generated ones are large, and they are held across many awaits.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A unary call of `SnsService`.
pub(crate) trait Call: Clone + Send + Sync + 'static {
    /// What comes back.
    type Answer: Send + 'static;
    /// Whether it changes something, so that sending it twice matters.
    const WRITE: bool;
    /// Whether a second server may be asked too when the first is slow.
    const HEDGE: bool = !Self::WRITE;
    /// Whether it carries the token.
    const TOKEN: bool = true;

    /// Puts the ticket into a write.
    fn stamp(&mut self, _ticket: &Ticket) {}
    /// Has a read answered from a state that includes `seq`.
    fn at_least(&mut self, _seq: u64) {}
    /// The seq that the answer makes known.
    fn seq(answer: &Self::Answer) -> u64;
    /// Sends it once.
    fn send(
        self,
        channel: Channel,
        token: Option<AsciiMetadataValue>,
        limit: Duration,
    ) -> Boxed<Result<Self::Answer, tonic::Status>>;
}

/// A request with the token, and with the time the server has for it.
fn request<T>(message: T, token: Option<AsciiMetadataValue>, limit: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(limit);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
    request
}

macro_rules! call {
    ($request:ident => $answer:ident, $method:ident, $seq:expr, { $($items:tt)* }) => {
        call!(SnsServiceClient, v1, $request => $answer, $method, $seq, { $($items)* });
    };
    ($client:ident, $v1:ident, $request:ident => $answer:ident, $method:ident, $seq:expr, { $($items:tt)* }) => {
        impl Call for $v1::$request {
            type Answer = $v1::$answer;
            $($items)*

            fn seq(answer: &Self::Answer) -> u64 {
                let seq: fn(&$v1::$answer) -> u64 = $seq;
                seq(answer)
            }

            fn send(
                self,
                channel: Channel,
                token: Option<AsciiMetadataValue>,
                limit: Duration,
            ) -> Boxed<Result<Self::Answer, tonic::Status>> {
                Box::pin(async move {
                    let mut client = $client::new(channel);
                    let answer = client.$method(request(self, token, limit)).await?;
                    Ok(answer.into_inner())
                })
            }
        }
    };
}

macro_rules! write_call {
    ($request:ident => $answer:ident, $method:ident, $seq:expr) => {
        call!($request => $answer, $method, $seq, {
            const WRITE: bool = true;

            fn stamp(&mut self, ticket: &Ticket) {
                self.request_id = ticket.request_id();
                self.seen = ticket.seen();
            }
        });
    };
}

macro_rules! read_call {
    ($request:ident => $answer:ident, $method:ident) => {
        call!($request => $answer, $method, |answer| answer.seq, {
            const WRITE: bool = false;

            fn at_least(&mut self, seq: u64) {
                self.at_least = seq;
            }
        });
    };
}

write_call!(FollowRequest => FollowResponse, follow, |answer| answer.seq);
write_call!(UnfollowRequest => UnfollowResponse, unfollow, |answer| answer.seq);
write_call!(CreatePostRequest => CreatePostResponse, create_post, |answer| {
    answer.post.as_ref().map_or(0, |post| post.id)
});
write_call!(DeletePostRequest => DeletePostResponse, delete_post, |answer| answer.seq);
read_call!(ListUsersRequest => ListUsersResponse, list_users);
read_call!(GetHomeTimelineRequest => GetHomeTimelineResponse, get_home_timeline);
read_call!(GetUserTimelineRequest => GetUserTimelineResponse, get_user_timeline);

// Login may be repeated freely, so it goes as a read.
call!(LoginRequest => LoginResponse, login, |answer| answer.seq, {
    const WRITE: bool = false;
    const TOKEN: bool = false;
});

// Those of the accounts are safe to repeat too.
macro_rules! account_call {
    ($request:ident => $answer:ident, $method:ident, $token:literal, $seq:expr) => {
        call!(AuthServiceClient, auth, $request => $answer, $method, $seq, {
            const WRITE: bool = false;
            // They are dear, and two at once may undo each other.
            const HEDGE: bool = false;
            const TOKEN: bool = $token;
        });
    };
}

account_call!(SignUpRequest => Session, sign_up, false, |answer| answer.seq);
account_call!(LogInRequest => Session, log_in, false, |answer| answer.seq);
account_call!(WhoAmIRequest => WhoAmIResponse, who_am_i, true, |_| 0);
account_call!(ChangePasswordRequest => Session, change_password, true, |answer| answer.seq);
account_call!(RevokeTokensRequest => RevokeTokensResponse, revoke_tokens, true, |answer| answer.seq);
