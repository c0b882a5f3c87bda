//! A gRPC call with as little around it as can be: one HTTP/2 connection, one call at a time.
//!
//! The load shares the machine with the servers, so what it costs is missing to them. The channel of
//! tonic hands each call through a queue and two tasks, for reconnecting, balancing and sharing, none of
//! which a connection under load is to do. On the wire there is no difference.
//! Source: "gRPC over HTTP2", the protocol's own page.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use sns_client::Trust;
use sns_load::CallError;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::either::Either;
use tonic::Code;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The longest answer that is taken: a page of 200 posts is under 1 MiB.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that may be under way to us before we say that we took some.
const WINDOW: u32 = 1024 * 1024;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server refused.
    Refused(Code, String),
    /// The connection is of no use any more.
    Broken(String),
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(code, why) => Self(format!("{code:?}: {why}")),
            Fault::Broken(why) => Self(why),
        }
    }
}

impl From<h2::Error> for Fault {
    fn from(error: h2::Error) -> Self {
        Self::Broken(match error.get_io() {
            Some(io) => io.to_string(),
            None => error.to_string(),
        })
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Grpc {
    send: h2::client::SendRequest<Bytes>,
    authority: Authority,
    scheme: Scheme,
    driver: JoinHandle<()>,
}

impl Drop for Grpc {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Grpc {
    /// Connects to `host:port`.
    pub(super) async fn open(address: &str, trust: Option<&Trust>) -> Result<Self, CallError> {
        let refused = |why: String| CallError(format!("{address}: {why}"));
        let authority = address.parse();
        let authority = authority.map_err(|_| refused("this is no address".to_owned()))?;
        let connect = async {
            if let Some(trust) = trust {
                return Ok(Either::Right(trust.connect(address).await?));
            }
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            Ok::<_, std::io::Error>(Either::Left(tcp))
        };
        let connected = tokio::time::timeout(CONNECT, connect).await;
        let connected = connected.map_err(|_| refused("it does not answer".to_owned()))?;
        let stream = connected.map_err(|error| refused(error.to_string()))?;
        let handshake = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake(stream);
        let (send, connection) = handshake
            .await
            .map_err(|error| refused(error.to_string()))?;
        // Ends with the connection; calls tell of its errors.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            send,
            authority,
            scheme: trust.map_or(Scheme::HTTP, |_| Scheme::HTTPS),
            driver,
        })
    }

    /// Calls, and reads the answer whole.
    pub(super) async fn call<Q: Message, A: Message + Default>(
        &mut self,
        path: &'static str,
        token: &HeaderValue,
        question: &Q,
    ) -> Result<A, Fault> {
        std::future::poll_fn(|cx| self.send.poll_ready(cx)).await?;
        let (answer, mut body) = self.send.send_request(self.head(path, token)?, false)?;
        body.send_data(framed(question)?, true)?;
        let (head, mut body) = answer.await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(Fault::Broken(format!("HTTP status {}", head.status)));
        }
        let mut read = Bytes::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            if read.len() + chunk.len() > ANSWER_BYTES {
                return Err(Fault::Broken("an answer without an end".to_owned()));
            }
            // A page comes as one piece nearly always.
            read = if read.is_empty() {
                chunk
            } else {
                [read, chunk].concat().into()
            };
        }
        match body.trailers().await? {
            Some(trailers) => status(&trailers)?,
            // All at once, as refusals come.
            None => status(&head.headers)?,
        }
        message(&read)
    }

    fn head(&self, path: &'static str, token: &HeaderValue) -> Result<Request<()>, Fault> {
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static(path))
            .build();
        let mut head = Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = uri.map_err(|error| Fault::Broken(error.to_string()))?;
        let headers = head.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(USER_AGENT, HeaderValue::from_static("sns-bench"));
        headers.insert(AUTHORIZATION, token.clone());
        Ok(head)
    }
}

/// A message as it goes onto the wire.
fn framed(message: &impl Message) -> Result<Bytes, Fault> {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    let encoded = message.encode(&mut framed);
    encoded.map_err(|error| Fault::Broken(error.to_string()))?;
    Ok(framed.freeze())
}

/// The one message of an answer.
fn message<A: Message + Default>(read: &Bytes) -> Result<A, Fault> {
    let odd = || Fault::Broken("an answer that is no message".to_owned());
    let prefix = read.first_chunk::<PREFIX>().ok_or_else(odd)?;
    let [compressed, length @ ..] = *prefix;
    let rest = read.slice(PREFIX..);
    if compressed != 0 || u32::from_be_bytes(length) as usize != rest.len() {
        return Err(odd());
    }
    A::decode(rest).map_err(|error| Fault::Broken(error.to_string()))
}

/// What the server says came of it.
fn status(headers: &HeaderMap) -> Result<(), Fault> {
    let code = headers.get("grpc-status");
    let code = code.ok_or_else(|| Fault::Broken("an answer without a status".to_owned()))?;
    match Code::from_bytes(code.as_bytes()) {
        Code::Ok => Ok(()),
        code => {
            let why = headers.get("grpc-message").map(HeaderValue::as_bytes);
            Err(Fault::Refused(code, unescaped(why.unwrap_or_default())))
        }
    }
}

/// A message of a status: bytes that are no plain text come as `%` and two digits.
fn unescaped(text: &[u8]) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = escaped.and_then(|two| {
            let two = std::str::from_utf8(two).ok()?;
            u8::from_str_radix(two, 16).ok()
        });
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sns_proto::v1;

    #[test]
    fn a_message_comes_out_of_its_frame_and_of_no_other() {
        let question = v1::FollowRequest {
            username: "bob".to_owned(),
            ..v1::FollowRequest::default()
        };
        let framed = framed(&question).expect("frames");
        assert_eq!(
            message::<v1::FollowRequest>(&framed).expect("reads"),
            question
        );
        for wrong in [&framed[..4], &framed[..framed.len() - 1], &[1, 0, 0, 0, 0]] {
            message::<v1::FollowRequest>(&Bytes::copy_from_slice(wrong)).expect_err("odd");
        }
    }

    #[test]
    fn a_status_tells_its_code_and_words() {
        let mut headers = HeaderMap::new();
        assert!(matches!(status(&headers), Err(Fault::Broken(_))));
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        status(&headers).expect("is good");
        headers.insert("grpc-status", HeaderValue::from_static("6"));
        headers.insert(
            "grpc-message",
            HeaderValue::from_static("so%20already%2g %"),
        );
        let refused = CallError::from(status(&headers).expect_err("is a refusal"));
        assert_eq!(refused.0, "AlreadyExists: so already%2g %");
    }
}
