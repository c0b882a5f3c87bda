//! A real `sns-server` process on a scratch directory, and clients for it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::{ErrorReason, LoginRequest};
use sns_server::service::status::reason_of;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sns-server");

/// The arguments of a master on `data` with ports that are drawn, and a router that is not there.
pub fn master_args(data: &Path) -> Vec<String> {
    let data = data.to_str().unwrap();
    [
        "master",
        "--name",
        "a",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--peer-listen",
        "127.0.0.1:0",
        "--router",
        "http://127.0.0.1:9",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A master, killed at the end of the test.
pub struct Server {
    child: Child,
    pub address: String,
    /// Where its page is.
    pub page: String,
}

impl Server {
    /// Starts one and waits until it serves.
    pub async fn start(data: &Path) -> Self {
        Self::start_with(data, "warn", Stdio::inherit()).await
    }

    /// As [`Server::start`], with a filter of what it logs, and where to.
    pub async fn start_with(data: &Path, trace: &str, log: Stdio) -> Self {
        Self::start_with_flags(data, trace, log, &[]).await
    }

    /// As [`Server::start_with`], with more flags.
    pub async fn start_with_flags(data: &Path, trace: &str, log: Stdio, flags: &[&str]) -> Self {
        // Another build of it, to compare with.
        let program = std::env::var_os("SNS_ATTACK_SERVER").unwrap_or(PROGRAM.into());
        let child = Command::new(program)
            .args(master_args(data))
            .args(flags)
            .env("SNS_TRACE", trace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            address: String::new(),
            page: String::new(),
        };
        let pid = server.child.id();
        let file = data.join("nodes/a-master/node.json");
        let node = until("node.json names this process", async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let json: serde_json::Value = serde_json::from_str(&text).ok()?;
            (json["pid"] == pid).then_some(json)
        })
        .await;
        let field = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
        server.address = field("address");
        server.page = field("http_address");
        let channel = server.channel().await;
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
        until("health says that it serves", async || {
            let request = tonic_health::pb::HealthCheckRequest {
                service: "sns.v1.SnsService".into(),
            };
            let answer = health.check(request).await.ok()?.into_inner();
            (answer.status == 1).then_some(())
        })
        .await;
        server
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        until("it takes connections", async || {
            endpoint.connect().await.ok()
        })
        .await
    }

    pub async fn login(&self, name: &str) -> Caller {
        Caller::login(self.channel().await, name).await
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the process ends", async || self.child.try_wait().unwrap()).await
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One user with its token.
#[derive(Clone)]
pub struct Caller {
    pub api: SnsServiceClient<Channel>,
    pub token: String,
    pub name: String,
    pub seq: u64,
    pub created: bool,
}

impl Caller {
    pub async fn login(channel: Channel, name: &str) -> Self {
        let mut api = SnsServiceClient::new(channel);
        let request = LoginRequest {
            username: name.into(),
            password: String::new(),
        };
        let answer = api.login(request).await.unwrap().into_inner();
        Self {
            api,
            token: answer.token,
            name: answer.username,
            seq: answer.seq,
            created: answer.created,
        }
    }

    /// `message` with the token, and a deadline that no good call needs.
    pub fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token: MetadataValue<Ascii> = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request.set_timeout(PATIENCE);
        request
    }
}

/// The call must have been refused for this reason, with the code of the contract.
#[track_caller]
pub fn refused<T>(outcome: Result<T, Status>, reason: ErrorReason) {
    let Err(status) = outcome else {
        panic!("not refused as {reason:?}");
    };
    assert_eq!(reason_of(&status), Some(reason), "{status:?}");
    let code = Code::from_i32(sns_proto::reason::code_of(reason));
    assert_eq!(status.code(), code, "{status:?}");
    let retry = tonic_types::StatusExt::get_details_retry_info(&status).is_some();
    assert_eq!(retry, sns_proto::reason::retry_after_ms(reason).is_some());
}
