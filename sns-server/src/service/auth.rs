//! `AuthService`: the way into [`accounts`].

use sns_core::limits::MESSAGE_BYTES;
use sns_proto::auth::v1::auth_service_server::{AuthService, AuthServiceServer};
use sns_proto::auth::v1::{
    ChangePasswordRequest, LogInRequest, RevokeTokensRequest, RevokeTokensResponse, Scope, Session,
    SignUpRequest, WhoAmIRequest, WhoAmIResponse,
};
use tonic::{Request, Response, Status};

use super::accounts;
use super::call::{Deadline, Shared, outcome};
use crate::metrics::Method;
use crate::token::Scopes;

/// As health and reflection name it.
pub const SERVICE: &str = "sns.auth.v1.AuthService";

/// Serves `sns.auth.v1.AuthService` from one replica.
#[derive(Clone, Debug)]
pub struct AuthApi {
    shared: Shared,
}

impl AuthApi {
    /// Of a node.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// For a tonic server; messages over 64 KiB are refused (`OUT_OF_RANGE`).
    pub fn into_service(self) -> AuthServiceServer<Self> {
        AuthServiceServer::new(self).max_decoding_message_size(MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl AuthService for AuthApi {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<Session>, Status> {
        self.shared.rates().login(request.extensions().get())?;
        let deadline = Deadline::of(request.metadata());
        let asked = request.into_inner();
        let SignUpRequest {
            username,
            password,
            invitation,
        } = asked;
        let call = accounts::sign_up(&self.shared, &username, password, &invitation, deadline);
        let session = self.shared.measured(Method::SignUp, call).await?;
        Ok(Response::new(session))
    }

    async fn log_in(&self, request: Request<LogInRequest>) -> Result<Response<Session>, Status> {
        self.shared.rates().login(request.extensions().get())?;
        let deadline = Deadline::of(request.metadata());
        let asked = request.into_inner();
        let scopes = Scopes::of(asked.scopes());
        let (ttl, name) = (asked.ttl_seconds, asked.username);
        let call = accounts::log_in_for(&self.shared, &name, asked.password, scopes, ttl, deadline);
        let session = self.shared.measured(Method::Login, call).await?;
        Ok(Response::new(session))
    }

    async fn who_am_i(
        &self,
        request: Request<WhoAmIRequest>,
    ) -> Result<Response<WhoAmIResponse>, Status> {
        let caller = self.shared.caller(request.metadata(), Scopes::ANY)?;
        let deadline = Deadline::of(request.metadata());
        let known = self.shared.reach_as(&caller, caller.since, false, deadline);
        known.await?;
        let scopes: Vec<i32> = caller.scopes.to_wire();
        debug_assert!(!scopes.contains(&Scope::Unspecified.into()));
        Ok(Response::new(WhoAmIResponse {
            username: caller.user.to_string(),
            scopes,
            expires_at_ms: caller.expires_ms,
        }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<Session>, Status> {
        // It checks a password, like a login.
        self.shared.rates().login(request.extensions().get())?;
        let caller = self.shared.caller(request.metadata(), Scopes::POST)?;
        let deadline = Deadline::of(request.metadata());
        let ChangePasswordRequest {
            old_password,
            new_password,
        } = request.into_inner();
        let call =
            accounts::change_password(&self.shared, caller, old_password, new_password, deadline);
        let session = self.shared.measured(Method::ChangePassword, call).await?;
        Ok(Response::new(session))
    }

    async fn revoke_tokens(
        &self,
        request: Request<RevokeTokensRequest>,
    ) -> Result<Response<RevokeTokensResponse>, Status> {
        let caller = self.shared.caller(request.metadata(), Scopes::READ)?;
        let deadline = Deadline::of(request.metadata());
        let call = async {
            let reached = self.shared.reach_as(&caller, caller.since, false, deadline);
            let pending = reached.await?.write().revoke_tokens(&caller.user);
            outcome(pending, deadline).await
        };
        let seq = self.shared.measured(Method::RevokeTokens, call).await?;
        Ok(Response::new(RevokeTokensResponse { seq: seq.as_u64() }))
    }
}
