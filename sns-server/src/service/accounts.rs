//! Who gets in, and with what: logins, sign-ups, tokens and their end.

use std::fmt;

use clap::ValueEnum as _;
use sns_core::{Account, Clock, Error, Reason, Seq, Sns, Username};
use sns_proto::auth::v1::{AuthErrorReason, Session};
use sns_proto::v1::{ErrorReason, LoginRequest, LoginResponse};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::call::{Deadline, Shared, outcome};
use super::passwords::{self, Passwords};
use super::status;
use crate::args::{AuthMode, Signup};
use crate::token::{Caller, Origin, Scopes, TokenKey};

/// Refusals by the accounts.
pub(crate) fn denied(reason: AuthErrorReason, message: &str) -> Status {
    status::auth(reason, message)
}

/// How a server lets people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether names need passwords.
    pub auth: AuthMode,
    /// Who may make a name.
    pub signup: Signup,
    /// How long a token is good.
    pub token_ttl_ms: u64,
}

impl Policy {
    /// As flags have it, for a child.
    pub fn flags(&self) -> [(&'static str, String); 3] {
        let named = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let (auth, signup) = (self.auth, self.signup);
        [
            ("--auth", named(&|| auth.to_possible_value())),
            ("--signup", named(&|| signup.to_possible_value())),
            ("--token-hours", (self.token_ttl_ms / 3_600_000).to_string()),
        ]
    }

    /// Names without passwords, and tokens of a month: for one machine.
    pub fn open() -> Self {
        Self {
            auth: AuthMode::Open,
            signup: Signup::Open,
            token_ttl_ms: 30 * 24 * 3_600 * 1_000,
        }
    }
}

/// The keys and rules of one server.
pub struct Accounts {
    pub(crate) policy: Policy,
    pub(crate) key: TokenKey,
    pub(crate) passwords: Passwords,
    clock: Clock,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// With these keys and rules.
    pub fn new(policy: Policy, key: TokenKey) -> Self {
        Self {
            policy,
            key,
            passwords: Passwords::new(),
            clock: Clock::system(),
        }
    }

    /// The caller of a request, whose token is good for `scopes`, unless it was revoked.
    pub(crate) fn caller(&self, metadata: &MetadataMap, scopes: Scopes) -> Result<Caller, Status> {
        let caller = self.key.caller(metadata, self.clock.now_ms());
        let caller = caller.map_err(status::of)?;
        if self.policy.auth == AuthMode::Accounts && caller.origin == Origin::Open {
            let why = "this token was given without a password: log in again, with one";
            return Err(status::of(Error::new(Reason::TokenInvalid, why)));
        }
        may(&caller, scopes)?;
        Ok(caller)
    }

    /// # Errors
    /// `TOKEN_INVALID`: it has expired since.
    pub(crate) fn still_good(&self, caller: &Caller) -> Result<(), Status> {
        caller.check_time(self.clock.now_ms()).map_err(status::of)
    }

    /// A session of the user of `known`. It counts as issued when that was looked up: what was revoked
    /// while the password was being checked is not given out anew.
    fn session(&self, grant: Grant, known: &Known) -> Session {
        let issued_ms = known
            .asked_ms
            .max(known.account.revoked_ms.saturating_add(1));
        let most = self.policy.token_ttl_ms;
        let ttl_ms = match u64::from(grant.ttl_seconds) * 1_000 {
            0 => most,
            asked => asked.min(most),
        };
        let caller = Caller {
            user: grant.user,
            since: known.since,
            scopes: grant.scopes,
            origin: grant.origin,
            issued_ms,
            expires_ms: self.clock.now_ms().saturating_add(ttl_ms),
        };
        Session {
            token: self.key.sign(&caller),
            username: caller.user.to_string(),
            scopes: caller.scopes.to_wire(),
            expires_at_ms: caller.expires_ms,
            seq: known.since.as_u64(),
        }
    }
}

/// # Errors
/// `SCOPE_MISSING`: the token is not good for `scopes`.
pub(crate) fn may(caller: &Caller, scopes: Scopes) -> Result<(), Status> {
    if caller.scopes.hold(scopes) {
        return Ok(());
    }
    let why = format!(
        "this call needs a token for `{scopes}`, and this one is for `{}`",
        caller.scopes
    );
    Err(denied(AuthErrorReason::ScopeMissing, &why))
}

/// What a new token is to be good for.
#[derive(Clone, Copy)]
struct Grant {
    user: Username,
    scopes: Scopes,
    origin: Origin,
    ttl_seconds: u32,
}

impl Grant {
    fn by_password(user: Username) -> Self {
        Self {
            user,
            scopes: Scopes::READ | Scopes::POST,
            origin: Origin::Password,
            ttl_seconds: 0,
        }
    }
}

fn rejected() -> Status {
    denied(
        AuthErrorReason::CredentialsRejected,
        "there is no such name with such a password",
    )
}

fn taken() -> Status {
    denied(
        AuthErrorReason::UsernameTaken,
        "this name is taken: choose another one, or bring an invitation for it",
    )
}

/// What was known of a name.
struct Known {
    account: Account,
    /// When it was asked for, on this server's clock.
    asked_ms: u64,
    /// A state that shows it so.
    since: Seq,
}

impl Known {
    /// The same, in a state that includes `seq`.
    fn after(self, seq: Seq) -> Self {
        Self {
            since: self.since.max(seq),
            ..self
        }
    }
}

async fn account(shared: &Shared, sns: &Sns, user: Username) -> Result<Known, Status> {
    let (sns, asked_ms) = (sns.clone(), shared.accounts().clock.now_ms());
    shared
        .read(move || {
            // In this order: what is applied only grows.
            let since = sns.applied();
            let account = sns.account(&user)?;
            Ok(Known {
                account,
                asked_ms,
                since,
            })
        })
        .await
}

/// `SnsService.Login`.
pub(crate) async fn login(
    shared: &Shared,
    request: Request<LoginRequest>,
) -> Result<Response<LoginResponse>, Status> {
    shared.rates().login(request.extensions().get())?;
    let deadline = Deadline::of(request.metadata());
    let LoginRequest { username, password } = request.into_inner();
    let user = Username::parse(&username).map_err(status::of)?;
    let answer = |session: Session, created| {
        Response::new(LoginResponse {
            token: session.token,
            created,
            username: session.username,
            seq: session.seq,
        })
    };
    if shared.accounts().policy.auth == AuthMode::Open && password.is_empty() {
        let (session, created) = log_in_open(shared, user, deadline).await?;
        return Ok(answer(session, created));
    }
    let session = log_in(shared, Grant::by_password(user), password, deadline).await?;
    Ok(answer(session, false))
}

/// Without a password, where that is allowed and the name has none; makes the user the first time.
async fn log_in_open(
    shared: &Shared,
    user: Username,
    deadline: Deadline,
) -> Result<(Session, bool), Status> {
    let sns = shared.reach(Seq::ZERO, false, deadline).await?;
    // It looks first whether the user is there: that may be a read from the disk.
    let pending = {
        let sns = sns.clone();
        shared.read(move || Ok(sns.create_user(&user))).await?
    };
    let made = outcome(pending, deadline).await?;
    // After it was made, and not before: the name may have been given away meanwhile.
    let known = account(shared, &sns, user).await?.after(made.seq);
    if known.account.password.is_some() {
        let why = "this name has a password";
        return Err(denied(AuthErrorReason::CredentialsRejected, why));
    }
    let grant = Grant {
        origin: Origin::Open,
        ..Grant::by_password(user)
    };
    let session = shared.accounts().session(grant, &known);
    Ok((session, made.created))
}

async fn log_in(
    shared: &Shared,
    grant: Grant,
    password: String,
    deadline: Deadline,
) -> Result<Session, Status> {
    // All that was acknowledged: an old password that was changed elsewhere is none.
    let sns = shared.reach(Seq::ZERO, true, deadline).await?;
    let known = account(shared, &sns, grant.user).await?;
    let accounts = shared.accounts();
    if accounts.policy.auth == AuthMode::Open && known.account.password.is_none() {
        return Err(status::status(
            ErrorReason::PasswordUnsupported,
            "names have no passwords here (--auth open), and this one neither: leave it empty",
        ));
    }
    // A long one is nobody's, and is not worth its time.
    let hash = known.account.password.clone();
    let hash = hash.filter(|_| password.len() <= *passwords::BYTES.end());
    let short: String = password.chars().take(*passwords::BYTES.end()).collect();
    if !accounts.passwords.verify(short, hash).await? {
        return Err(rejected());
    }
    Ok(accounts.session(grant, &known))
}

/// `AuthService.LogIn`.
pub(crate) async fn log_in_for(
    shared: &Shared,
    user: &str,
    password: String,
    scopes: Option<Scopes>,
    ttl_seconds: u32,
    deadline: Deadline,
) -> Result<Session, Status> {
    let user = Username::parse(user).map_err(status::of)?;
    let most = Scopes::READ | Scopes::POST;
    let scopes = match scopes {
        Some(Scopes::ANY) => most,
        Some(scopes) if most.hold(scopes) => scopes,
        _ => {
            let why = "a login gives `read` and `post`; all else is the operator's to give";
            return Err(denied(AuthErrorReason::ScopeMissing, why));
        }
    };
    let grant = Grant {
        scopes,
        ttl_seconds,
        ..Grant::by_password(user)
    };
    log_in(shared, grant, password, deadline).await
}

/// `AuthService.SignUp`.
pub(crate) async fn sign_up(
    shared: &Shared,
    user: &str,
    password: String,
    invitation: &str,
    deadline: Deadline,
) -> Result<Session, Status> {
    let user = Username::parse(user).map_err(status::of)?;
    check_new(&user, &password)?;
    let accounts = shared.accounts();
    let invited = if invitation.is_empty() {
        None
    } else {
        let invited = accounts.key.check(invitation, accounts.clock.now_ms());
        let invited = invited.map_err(|_| {
            let why = "this invitation is not good for this data, or has expired: ask for another";
            status::of(Error::new(Reason::TokenInvalid, why))
        })?;
        may(&invited, Scopes::CLAIM)?;
        if invited.user != user {
            let why = format!("this invitation is for the name {}", invited.user);
            return Err(denied(AuthErrorReason::ScopeMissing, &why));
        }
        Some(invited)
    };
    if invited.is_none() && accounts.policy.signup == Signup::Invited {
        let why = "names are given by invitation here: ask the operator for one";
        return Err(denied(AuthErrorReason::InvitationNeeded, why));
    }
    let sns = shared.reach(Seq::ZERO, true, deadline).await?;
    let known = account(shared, &sns, user).await?;
    let before = &known.account;
    let grant = Grant::by_password(user);
    if before.password.is_some() {
        // A repeated call; or somebody else, who learns no more than that the name is taken.
        let same = accounts
            .passwords
            .verify(password, before.password.clone())
            .await?;
        return same
            .then(|| accounts.session(grant, &known))
            .ok_or_else(taken);
    }
    if let Some(invited) = invited {
        invited.check_against(before).map_err(status::of)?;
    } else if before.exists {
        return Err(taken());
    }
    let hash = accounts.passwords.hash(password.clone()).await?;
    let pending = sns.write().create_account(&user, &hash, invited.is_some());
    let made = outcome(pending, deadline).await?;
    // Another call may have been first, on another server too.
    let after = account(shared, &sns, user).await?.after(made.seq);
    if !made.created
        && !accounts
            .passwords
            .verify(password, after.account.password.clone())
            .await?
    {
        return Err(taken());
    }
    Ok(accounts.session(grant, &after))
}

/// `AuthService.ChangePassword`.
pub(crate) async fn change_password(
    shared: &Shared,
    caller: Caller,
    old: String,
    new: String,
    deadline: Deadline,
) -> Result<Session, Status> {
    let sns = shared.reach_as(&caller, Seq::ZERO, false, deadline).await?;
    check_new(&caller.user, &new)?;
    let before = account(shared, &sns, caller.user).await?.account;
    let accounts = shared.accounts();
    let trusted = caller.origin == Origin::Operator;
    if !trusted && !accounts.passwords.verify(old, before.password).await? {
        let why = "the old password is not this one";
        return Err(denied(AuthErrorReason::CredentialsRejected, why));
    }
    let hash = accounts.passwords.hash(new).await?;
    let changed = outcome(sns.write().set_password(&caller.user, &hash), deadline).await?;
    let after = account(shared, &sns, caller.user).await?.after(changed);
    // What the operator lent is not made to last.
    Ok(accounts.session(Grant::by_password(caller.user), &after))
}

fn check_new(user: &Username, password: &str) -> Result<(), Status> {
    let why = if !passwords::BYTES.contains(&password.len()) {
        "a password has 8 to 256 bytes"
    } else if password.eq_ignore_ascii_case(user.as_str()) {
        "a password that is the name is none"
    } else {
        return Ok(());
    };
    Err(denied(AuthErrorReason::PasswordInvalid, why))
}
