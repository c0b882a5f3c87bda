//! What a gRPC status says: a refusal of ours, or nothing we can trust.

use std::time::Duration;

use prost::Message;
use sns_proto::reason::DOMAIN;

use crate::error::Error;
use crate::retry::{Ended, Refusal};

/// `google.rpc.Status`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<prost_types::Duration>,
}

/// Reads a status: only an `ErrorInfo` of our domain makes it a [`Refusal`]. All else may come from
/// the transport, a proxy or a dying process, and tells nothing about a write.
pub(crate) fn ended(status: &tonic::Status) -> Ended {
    if let Some(refusal) = refusal(status) {
        return Ended::Refused(refusal);
    }
    let message = if status.message().is_empty() {
        status.code().description().to_owned()
    } else {
        status.message().to_owned()
    };
    if failed_to_connect(status) {
        Ended::NotSent(message)
    } else {
        Ended::Lost(message)
    }
}

fn refusal(status: &tonic::Status) -> Option<Refusal> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let info: ErrorInfo = find(&details, "google.rpc.ErrorInfo")?;
    if info.domain != DOMAIN {
        return None;
    }
    let retry: Option<RetryInfo> = find(&details, "google.rpc.RetryInfo");
    let code = i32::from(status.code());
    Some(Refusal {
        code,
        error: Error::from_wire(code, &info.reason, status.message()),
        retry_after: retry
            .map(|info| Duration::try_from(info.delay.unwrap_or_default()).unwrap_or_default()),
    })
}

fn find<T: Message + Default>(details: &[prost_types::Any], name: &str) -> Option<T> {
    details
        .iter()
        .find(|any| any.type_url.rsplit('/').next() == Some(name))
        .and_then(|any| T::decode(any.value.as_slice()).ok())
}

/// Whether the call never left this process.
fn failed_to_connect(status: &tonic::Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The shortest true word for a failed connection: the last of the chain names the cause.
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Reason};

    fn any(name: &str, message: &impl Message) -> prost_types::Any {
        prost_types::Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: message.encode_to_vec(),
        }
    }

    fn status(domain: &str) -> tonic::Status {
        let info = ErrorInfo {
            reason: "OVERLOADED".to_owned(),
            domain: domain.to_owned(),
        };
        let retry = RetryInfo {
            delay: Some(prost_types::Duration {
                seconds: 0,
                nanos: 100_000_000,
            }),
        };
        let details = RpcStatus {
            details: vec![
                any("google.rpc.ErrorInfo", &info),
                any("google.rpc.RetryInfo", &retry),
            ],
        };
        tonic::Status::with_details(
            tonic::Code::ResourceExhausted,
            "the queue is full",
            details.encode_to_vec().into(),
        )
    }

    #[test]
    fn a_status_with_our_error_info_is_a_refusal() {
        let Ended::Refused(refusal) = ended(&status("sns")) else {
            panic!("not a refusal");
        };
        assert_eq!(refusal.error.kind(), ErrorKind::Exhausted);
        assert_eq!(refusal.error.reason(), Reason::Overloaded);
        assert_eq!(refusal.retry_after, Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_status_of_anyone_else_tells_nothing() {
        assert!(matches!(ended(&status("example.com")), Ended::Lost(_)));
        let plain = tonic::Status::unavailable("connection reset");
        assert!(matches!(ended(&plain), Ended::Lost(_)));
        let broken = tonic::Status::with_details(
            tonic::Code::NotFound,
            "x",
            b"\xff\xff\xff".to_vec().into(),
        );
        assert!(matches!(ended(&broken), Ended::Lost(_)));
    }
}
