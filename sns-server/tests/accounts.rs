//! Names that belong to somebody: passwords, invitations, and the end of tokens.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::{Command, Stdio};

use sns_proto::auth::v1::auth_service_client::AuthServiceClient;
use sns_proto::auth::v1::{
    ChangePasswordRequest, LogInRequest, RevokeTokensRequest, Scope, Session, SignUpRequest,
};
use sns_proto::v1::{CreatePostRequest, ErrorReason, GetHomeTimelineRequest, LoginRequest};
use sns_server::service::status::reason_name;
use support::server::{Caller, PROGRAM, Server, refused, until};
use tonic::transport::Channel;
use tonic::{Code, Status};

#[path = "support"]
mod support {
    pub(crate) mod server;
}

const PASSWORD: &str = "correct horse";

async fn start(data: &Path, flags: &[&str]) -> Server {
    let mut all = vec!["--auth", "accounts"];
    all.extend(flags);
    Server::start_with_flags(data, "off", Stdio::inherit(), &all).await
}

struct Door {
    auth: AuthServiceClient<Channel>,
    caller: Caller,
}

impl Door {
    async fn of(server: &Server) -> Self {
        let channel = server.channel().await;
        Self {
            auth: AuthServiceClient::new(channel.clone()),
            caller: Caller {
                api: sns_proto::v1::sns_service_client::SnsServiceClient::new(channel),
                token: String::new(),
                name: String::new(),
                seq: 0,
                created: false,
            },
        }
    }

    async fn sign_up(&mut self, name: &str, password: &str, by: &str) -> Result<Session, Status> {
        let asked = SignUpRequest {
            username: name.into(),
            password: password.into(),
            invitation: by.into(),
        };
        self.auth
            .sign_up(asked)
            .await
            .map(tonic::Response::into_inner)
    }

    async fn login(&mut self, name: &str, password: &str) -> Result<String, Status> {
        let asked = LoginRequest {
            username: name.into(),
            password: password.into(),
        };
        let answer = self.caller.api.login(asked).await?.into_inner();
        assert!(!answer.created, "nobody is made by a login here");
        Ok(answer.token)
    }

    fn with(&self, token: &str) -> Caller {
        Caller {
            token: token.into(),
            ..self.caller.clone()
        }
    }

    async fn post(&self, token: &str) -> Result<(), Status> {
        let mut caller = self.with(token);
        let post = CreatePostRequest {
            text: "mine".into(),
            ..CreatePostRequest::default()
        };
        let post = caller.ask(post);
        caller.api.create_post(post).await.map(drop)
    }

    async fn read(&self, token: &str) -> Result<(), Status> {
        let mut caller = self.with(token);
        let page = caller.ask(GetHomeTimelineRequest::default());
        caller.api.get_home_timeline(page).await.map(drop)
    }
}

#[track_caller]
fn denied<T>(outcome: Result<T, Status>, code: Code, reason: &str) -> String {
    let Err(status) = outcome else {
        panic!("not refused as {reason}");
    };
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(reason_name(&status).as_deref(), Some(reason));
    status.message().to_owned()
}

fn made(data: &Path, args: &[&str]) -> String {
    let made = Command::new(PROGRAM)
        .args(args)
        .args(["--data", data.to_str().unwrap()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_name_belongs_to_who_made_it_on_every_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]).await;
    let mut door = Door::of(&server).await;
    let first = door.sign_up("Alice", PASSWORD, "").await.unwrap();
    assert_eq!(first.username, "alice");
    assert!(first.scopes().eq([Scope::Read, Scope::Post]));
    door.post(&first.token).await.unwrap();
    // A call that is repeated, and somebody else's.
    door.sign_up("alice", PASSWORD, "").await.unwrap();
    let other = door.sign_up("alice", "another word", "").await;
    denied(other, Code::AlreadyExists, "USERNAME_TAKEN");
    let token = door.login("ALICE", PASSWORD).await.unwrap();
    door.post(&token).await.unwrap();
    // After a restart it is as before: the name stands in the log.
    drop(server);
    let server = start(dir.path(), &[]).await;
    let mut door = Door::of(&server).await;
    door.post(&token).await.unwrap();
    door.login("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]).await;
    let mut door = Door::of(&server).await;
    door.sign_up("alice", PASSWORD, "").await.unwrap();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut said = std::collections::BTreeSet::new();
    let long = "x".repeat(5_000);
    for (name, password) in [
        ("alice", "another word"),
        ("nobody", PASSWORD),
        ("nobody", ""),
        ("alice", ""),
        ("alice", &*long),
        ("nobody", &*long),
    ] {
        let refused = door.login(name, password).await;
        said.insert(denied(
            refused,
            Code::Unauthenticated,
            "CREDENTIALS_REJECTED",
        ));
        let asked = LogInRequest {
            username: name.into(),
            password: password.into(),
            ..LogInRequest::default()
        };
        let refused = door.auth.log_in(asked).await;
        said.insert(denied(
            refused,
            Code::Unauthenticated,
            "CREDENTIALS_REJECTED",
        ));
    }
    assert_eq!(said.len(), 1, "{said:?}");
    for _ in 0..15 {
        for (name, times) in [("alice", &mut known), ("nobody", &mut unknown)] {
            let began = std::time::Instant::now();
            door.login(name, "another word").await.unwrap_err();
            times.push(began.elapsed());
        }
    }
    known.sort_unstable();
    unknown.sort_unstable();
    // Not a bound on speed: both do the same work, so neither is a small part of the other.
    let (known, unknown) = (known[7], unknown[7]);
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "{known:?} {unknown:?}");
}

#[tokio::test]
async fn a_password_has_its_bounds_and_a_token_its_scope_and_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]).await;
    let mut door = Door::of(&server).await;
    for bad in ["", "short", "alice_the_name", &"x".repeat(257)] {
        let refused = door.sign_up("Alice_The_Name", bad, "").await;
        denied(refused, Code::InvalidArgument, "PASSWORD_INVALID");
    }
    door.sign_up("alice", PASSWORD, "").await.unwrap();
    let asked = |scopes: &[Scope], ttl_seconds| LogInRequest {
        username: "alice".into(),
        password: PASSWORD.into(),
        scopes: scopes.iter().map(|scope| (*scope).into()).collect(),
        ttl_seconds,
    };
    let reader = door
        .auth
        .log_in(asked(&[Scope::Read], 0))
        .await
        .unwrap()
        .into_inner();
    door.read(&reader.token).await.unwrap();
    denied(
        door.post(&reader.token).await,
        Code::PermissionDenied,
        "SCOPE_MISSING",
    );
    for more in [Scope::Admin, Scope::Claim, Scope::Unspecified] {
        let refused = door.auth.log_in(asked(&[Scope::Read, more], 0)).await;
        denied(refused, Code::PermissionDenied, "SCOPE_MISSING");
    }
    let brief = door.auth.log_in(asked(&[], 1)).await.unwrap().into_inner();
    until("the token expires", async || {
        let refused = door.post(&brief.token).await.err()?;
        (reason_name(&refused)? == "TOKEN_INVALID").then_some(())
    })
    .await;
}

#[tokio::test]
async fn revoked_tokens_are_void_everywhere_and_another_password_revokes() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]).await;
    let mut door = Door::of(&server).await;
    let first = door.sign_up("alice", PASSWORD, "").await.unwrap().token;
    let second = door.login("alice", PASSWORD).await.unwrap();
    door.sign_up("bob", PASSWORD, "").await.unwrap();
    let bob = door.login("bob", PASSWORD).await.unwrap();
    let revoke = door.with(&second).ask(RevokeTokensRequest {});
    door.auth.revoke_tokens(revoke).await.unwrap();
    for void in [&first, &second] {
        refused(door.read(void).await, ErrorReason::TokenInvalid);
    }
    door.read(&bob).await.unwrap();
    let third = door.login("alice", PASSWORD).await.unwrap();
    door.read(&third).await.unwrap();

    let change = |old: &str| ChangePasswordRequest {
        old_password: old.into(),
        new_password: "battery staple".into(),
    };
    let asked = door.with(&third).ask(change("a wrong word"));
    let refused_change = door.auth.change_password(asked).await;
    denied(
        refused_change,
        Code::Unauthenticated,
        "CREDENTIALS_REJECTED",
    );
    let asked = door.with(&third).ask(change(PASSWORD));
    let fourth = door.auth.change_password(asked).await.unwrap().into_inner();
    refused(door.read(&third).await, ErrorReason::TokenInvalid);
    door.read(&fourth.token).await.unwrap();
    let old = door.login("alice", PASSWORD).await;
    denied(old, Code::Unauthenticated, "CREDENTIALS_REJECTED");
    door.login("alice", "battery staple").await.unwrap();

    // Who forgot it gets a token from the operator, and chooses another one.
    let lent = made(
        dir.path(),
        &["token", "--user", "alice", "--scope", "read,post"],
    );
    let asked = door.with(&lent).ask(ChangePasswordRequest {
        old_password: String::new(),
        new_password: PASSWORD.into(),
    });
    door.auth.change_password(asked).await.unwrap();
    refused(door.read(&lent).await, ErrorReason::TokenInvalid);
    door.login("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_invitation_gives_one_name_once_and_claims_what_nobody_owns() {
    let dir = tempfile::tempdir().unwrap();
    // Of a time without accounts: a name without a password.
    let server = Server::start(dir.path()).await;
    let open = server.login("carol").await;
    drop(server);
    let server = start(dir.path(), &["--signup", "invited"]).await;
    let mut door = Door::of(&server).await;
    refused(door.read(&open.token).await, ErrorReason::TokenInvalid);
    let refused_login = door.login("carol", "").await;
    denied(refused_login, Code::Unauthenticated, "CREDENTIALS_REJECTED");
    let uninvited = door.sign_up("alice", PASSWORD, "").await;
    denied(uninvited, Code::PermissionDenied, "INVITATION_NEEDED");

    let invitation = made(dir.path(), &["invite", "--user", "carol"]);
    refused(
        door.sign_up("carol", PASSWORD, "v2.x").await,
        ErrorReason::TokenInvalid,
    );
    let other = door.sign_up("alice", PASSWORD, &invitation).await;
    denied(other, Code::PermissionDenied, "SCOPE_MISSING");
    let reader = made(dir.path(), &["token", "--user", "carol", "--scope", "read"]);
    let no_invitation = door.sign_up("carol", PASSWORD, &reader).await;
    denied(no_invitation, Code::PermissionDenied, "SCOPE_MISSING");
    let carol = door.sign_up("carol", PASSWORD, &invitation).await.unwrap();
    door.post(&carol.token).await.unwrap();
    let again = door.sign_up("carol", "another word", &invitation).await;
    denied(again, Code::AlreadyExists, "USERNAME_TAKEN");
}

#[tokio::test]
async fn where_names_have_no_passwords_one_that_has_stays_shut() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut door = Door::of(&server).await;
    let early = server.login("carol").await.token;
    door.sign_up("alice", PASSWORD, "").await.unwrap();
    let shut = door.login("alice", "").await;
    denied(shut, Code::Unauthenticated, "CREDENTIALS_REJECTED");
    door.login("alice", PASSWORD).await.unwrap();
    let odd = door.login("carol", PASSWORD).await;
    refused(odd, ErrorReason::PasswordUnsupported);
    // The name was anybody's; from the claim on it is not.
    let invitation = made(dir.path(), &["invite", "--user", "carol"]);
    door.read(&early).await.unwrap();
    door.sign_up("carol", PASSWORD, &invitation).await.unwrap();
    refused(door.read(&early).await, ErrorReason::TokenInvalid);
}
