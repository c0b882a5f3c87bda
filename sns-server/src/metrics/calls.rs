//! What is called, how often, how long it took and how it ended.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

use super::{Window, buckets};

/// A call of `SnsService` or `AuthService`, over gRPC or HTTP. A `Timeline` stream is no call that takes a time;
/// each post on it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in sns.proto and auth.proto")]
pub enum Method {
    Login,
    Follow,
    Unfollow,
    ListUsers,
    CreatePost,
    DeletePost,
    GetHomeTimeline,
    GetUserTimeline,
    TimelinePost,
    SignUp,
    ChangePassword,
    RevokeTokens,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It changes something.
    Write,
    /// It reads a page.
    Read,
}

impl Method {
    const ALL: [Self; 12] = [
        Self::Login,
        Self::Follow,
        Self::Unfollow,
        Self::ListUsers,
        Self::CreatePost,
        Self::DeletePost,
        Self::GetHomeTimeline,
        Self::GetUserTimeline,
        Self::TimelinePost,
        Self::SignUp,
        Self::ChangePassword,
        Self::RevokeTokens,
    ];

    /// As the label has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "Login",
            Self::Follow => "Follow",
            Self::Unfollow => "Unfollow",
            Self::ListUsers => "ListUsers",
            Self::CreatePost => "CreatePost",
            Self::DeletePost => "DeletePost",
            Self::GetHomeTimeline => "GetHomeTimeline",
            Self::GetUserTimeline => "GetUserTimeline",
            Self::TimelinePost => "TimelinePost",
            Self::SignUp => "SignUp",
            Self::ChangePassword => "ChangePassword",
            Self::RevokeTokens => "RevokeTokens",
        }
    }

    /// What it does.
    pub fn kind(self) -> Kind {
        match self {
            Self::ListUsers | Self::GetHomeTimeline | Self::GetUserTimeline => Kind::Read,
            _ => Kind::Write,
        }
    }

    fn posts(self) -> bool {
        matches!(self, Self::CreatePost | Self::TimelinePost)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug)]
pub(super) struct Calls {
    ended: Family<CallLabels, Counter>,
    /// Of each method, found without a search: those of the fast way.
    fine: [Counter; Method::ALL.len()],
    took: [Histogram; Method::ALL.len()],
    streams: Counter,
    pub(super) writes: Window,
    pub(super) reads: Window,
}

impl Calls {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let ended = Family::<CallLabels, Counter>::default();
        let took = Family::<MethodLabels, Histogram>::new_with_constructor(buckets);
        let labels = |method: Method| (method.name(), code_name(Code::Ok));
        let fine = Method::ALL.map(|method| {
            let (method, code) = labels(method);
            ended.get_or_create_owned(&CallLabels { method, code })
        });
        let times = Method::ALL.map(|method| {
            let method = method.name();
            took.get_or_create_owned(&MethodLabels { method })
        });
        // From the start on, or the first failure would be no increase.
        for (method, code) in Method::ALL
            .iter()
            .flat_map(|it| FAILURES.map(|code| (*it, code)))
        {
            let (method, code) = (method.name(), code_name(code));
            drop(ended.get_or_create(&CallLabels { method, code }));
        }
        registry.register("sns_calls", "Calls that ended, by gRPC code", ended.clone());
        registry.register_with_unit(
            "sns_call",
            "From a call coming in to its answer, failed ones too",
            Unit::Seconds,
            took,
        );
        let streams = Counter::default();
        let help = "Timeline streams that were opened";
        registry.register("sns_streams_opened", help, streams.clone());
        Self {
            ended,
            fine,
            took: times,
            streams,
            writes: Window::default(),
            reads: Window::default(),
        }
    }

    pub(super) fn record(&self, method: Method, code: Code, took: Duration) {
        let at = method as usize;
        if code == Code::Ok {
            self.fine[at].inc();
        } else {
            let (method, code) = (method.name(), code_name(code));
            self.ended.get_or_create(&CallLabels { method, code }).inc();
        }
        self.took[at].observe(took.as_secs_f64());
        let window = match method.kind() {
            Kind::Write => &self.writes,
            Kind::Read => &self.reads,
        };
        window.record(took);
    }

    pub(super) fn stream_opened(&self) {
        self.streams.inc();
    }

    /// Posts that were made, since the start.
    pub(super) fn posts(&self) -> u64 {
        let posts = Method::ALL.iter().filter(|method| method.posts());
        posts.map(|method| self.fine[*method as usize].get()).sum()
    }

    /// Calls that failed, for whatever reason on the server's side, since the start.
    pub(super) fn failures(&self) -> u64 {
        let mut sum = 0;
        for method in Method::ALL {
            for code in FAILURES {
                let (method, code) = (method.name(), code_name(code));
                let counted = self.ended.get(&CallLabels { method, code });
                sum += counted.map_or(0, |counter| counter.get());
            }
        }
        sum
    }
}

/// Codes that are not the caller's fault.
const FAILURES: [Code; 6] = [
    Code::DeadlineExceeded,
    Code::ResourceExhausted,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unknown,
];

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_stand_at_their_place() {
        for (at, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, at);
        }
    }

    #[test]
    fn failures_are_those_of_the_server_alone() {
        let calls = Calls::new(&mut Registry::default());
        let took = Duration::from_millis(1);
        for code in [Code::Ok, Code::NotFound, Code::Unavailable, Code::Internal] {
            calls.record(Method::CreatePost, code, took);
        }
        calls.record(Method::TimelinePost, Code::Ok, took);
        assert_eq!((calls.posts(), calls.failures()), (2, 2));
        assert_eq!(calls.writes.take().map(|times| times.count), Some(5));
    }
}
