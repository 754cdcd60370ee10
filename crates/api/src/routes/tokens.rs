//! API tokens: made, listed, revoked. A token's text is in one answer and nowhere else.

use axum::{
    Json,
    http::{StatusCode, Uri},
};
use domain::{
    name::{Actor, ApplicationName},
    time::{Millis, Moment},
};
use serde::{Deserialize, Serialize};
use store::{NewToken, Page, TokenKind};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::{Listing, PageParams, Paged, limit};
use crate::{
    auth::{Administer, MakeToken, Permit, PrincipalKind, Role, Token, TokenType},
    clock::now,
    input::{At, Input, Params},
    problem::{FieldError, Problem},
};

/// Longest life of a token: whoever needs one for longer shows four times a year that they still do.
pub const TOKEN_DAYS_MAX: u32 = 90;
/// Life of a token when nothing is said.
const TOKEN_DAYS_DEFAULT: u32 = 30;
/// Most applications in a token's scope.
const SCOPE_MAX: usize = 64;
/// Longest name of a token or a person.
const NAME_CHARS_MAX: usize = 64;

/// A token to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "ana's laptop", "kind": "person", "person": "ana", "role": "operator"}))]
pub struct TokenRequest {
    /// What it is called in lists.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]*[!-~][ -~]*$")]
    pub name: String,
    /// For whom.
    pub kind: TokenKindWord,
    /// The person whose it is, for `person`. Approvals go by it: one person is one, with however many tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9][a-z0-9_.@-]{0,63}$")]
    pub person: Option<String>,
    /// What it may do.
    pub role: Role,
    /// The applications that it may see; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 64)]
    pub applications: Option<Vec<ApplicationName>>,
    /// How long it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 90, default = 30)]
    pub expires_in_days: Option<u32>,
}

/// For whom a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKindWord {
    /// A person.
    Person,
    /// A service, such as CI or a bot; it can never approve.
    Service,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewTokenAnswer {
    /// The token itself. It is shown here and nowhere else.
    #[schema(pattern = "^rb_(person|service)_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}$")]
    pub token: String,
    /// The rest of it.
    #[serde(flatten)]
    pub about: TokenAnswer,
}

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    /// Its identity.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// For whom.
    pub kind: TokenKindWord,
    /// The name in logs and audit entries.
    pub actor: Actor,
    /// What it may do.
    pub role: Role,
    /// The applications that it may see; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<ApplicationName>>,
    /// By whom it was made.
    pub created_by: Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Moment,
    /// When it was last used, within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Moment>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Moment>,
}

/// Names one token.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TokenPath {
    /// The token's identity.
    pub id: Uuid,
}

/// Makes a token. With the set-up token: the first one, an admin's.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens",
    request_body = TokenRequest, responses((status = 201, description = "The token, shown once", body = NewTokenAnswer)))]
pub(crate) async fn create(
    permit: Permit<MakeToken>,
    Input(ask): Input<TokenRequest>,
) -> Result<(StatusCode, Json<NewTokenAnswer>), Problem> {
    permit.must_see_all()?;
    let setup = permit.principal().kind == PrincipalKind::Setup;
    check(&ask, setup).map_err(Problem::fields)?;
    let (kind, token_type) = match ask.kind {
        TokenKindWord::Person => (TokenKind::Person, TokenType::Person),
        TokenKindWord::Service => (TokenKind::Service, TokenType::Service),
    };
    let token = Token::generate(token_type).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Problem::internal()
    })?;
    let days = ask.expires_in_days.unwrap_or(TOKEN_DAYS_DEFAULT);
    let new = NewToken {
        id: Uuid::now_v7(),
        person: actor(&ask).ok_or_else(Problem::internal)?,
        name: ask.name,
        kind,
        role: ask.role.into(),
        applications: ask.applications,
        hash: token.hash(),
        created_by: permit.actor().clone(),
        expires_at: now().after(Millis::from_secs(days * 24 * 3600)),
    };
    match permit.principal().token.as_ref().filter(|_| setup) {
        Some(proof) => permit
            .store()
            .setup_token_use(&proof.hash, &new)
            .await
            .map_err(|error| used_up(&permit, error))?,
        None => permit.store().token_create(&new).await?,
    }
    let answer = NewTokenAnswer {
        token: token.reveal().to_owned(),
        about: made(new, ask.kind, ask.role),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Tokens, newest first; ended ones as well.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens", params(PageParams),
    responses((status = 200, description = "A page of tokens", body = Listing<TokenAnswer>,
        headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Administer>,
    Params(page): Params<PageParams>,
    uri: Uri,
) -> Result<Paged<TokenAnswer>, Problem> {
    permit.must_see_all()?;
    let page = Page {
        after: page.after,
        limit: limit(page.limit)?,
    };
    let listed = permit.store().token_list(&page).await?;
    let next = listed.next.map(|id| id.to_string());
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next,
    };
    Ok(Paged { listing, uri })
}

/// Ends a token now, open streams included. Doing it again changes nothing.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    params(TokenPath), responses((status = 204, description = "It is ended")))]
pub(crate) async fn revoke(
    permit: Permit<Administer>,
    At(path): At<TokenPath>,
) -> Result<StatusCode, Problem> {
    permit.must_see_all()?;
    match permit.store().token_revoke(path.id, permit.actor()).await {
        Err(store::Error::NotFound(_)) => Err(Problem::not_found("token", &path.id.to_string())),
        done => done.map(|()| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

fn used_up(permit: &Permit<MakeToken>, error: store::Error) -> Problem {
    if matches!(error, store::Error::NotFound(_)) {
        permit.refuse_token();
        return Problem::unauthenticated("the set-up token is not known, used up or expired");
    }
    error.into()
}

/// The name in logs: a person's own, a service's with a mark that no person's name can have.
fn actor(ask: &TokenRequest) -> Option<Actor> {
    let text = match ask.kind {
        TokenKindWord::Person => ask.person.clone()?,
        TokenKindWord::Service => format!("service:{}", ask.name),
    };
    text.parse().ok()
}

fn check(ask: &TokenRequest, setup: bool) -> Result<(), Vec<FieldError>> {
    let mut bad = Vec::new();
    let mut refuse = |field: &str, what: String| {
        bad.push(FieldError {
            field: field.to_owned(),
            what,
        })
    };
    let printable = ask.name.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !printable || ask.name.trim().is_empty() || ask.name.len() > NAME_CHARS_MAX {
        refuse(
            "name",
            format!("use 1 to {NAME_CHARS_MAX} printable ASCII characters"),
        );
    }
    match (ask.kind, ask.person.as_deref()) {
        (TokenKindWord::Person, Some(person)) if is_person(person) => {}
        (TokenKindWord::Person, _) => {
            refuse(
                "person",
                "name the person: 1 to 64 of a-z, 0-9, `_`, `.`, `@`, `-`".to_owned(),
            );
        }
        (TokenKindWord::Service, None) => {}
        (TokenKindWord::Service, Some(_)) => {
            refuse("person", "leave it out: a service is no person".to_owned())
        }
    }
    let days = ask.expires_in_days.unwrap_or(TOKEN_DAYS_DEFAULT);
    if days == 0 || days > TOKEN_DAYS_MAX {
        refuse("expires_in_days", format!("use 1 to {TOKEN_DAYS_MAX}"));
    }
    if ask
        .applications
        .as_ref()
        .is_some_and(|names| names.is_empty() || names.len() > SCOPE_MAX)
    {
        refuse(
            "applications",
            format!("name 1 to {SCOPE_MAX}, or leave it out for all"),
        );
    }
    if setup
        && (ask.role != Role::Admin
            || ask.kind != TokenKindWord::Person
            || ask.applications.is_some())
    {
        refuse(
            "role",
            "the set-up token makes the first admin's token: `person`, `admin`, all applications"
                .to_owned(),
        );
    }
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

pub(super) fn is_person(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text
            .bytes()
            .all(|b| plain(b) || matches!(b, b'_' | b'.' | b'@' | b'-'))
}

fn made(new: NewToken, kind: TokenKindWord, role: Role) -> TokenAnswer {
    TokenAnswer {
        id: new.id,
        name: new.name,
        kind,
        actor: new.person,
        role,
        applications: new.applications,
        created_by: new.created_by,
        created_at: now(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    }
}

impl From<store::Token> for TokenAnswer {
    fn from(token: store::Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            kind: match token.kind {
                TokenKind::Person => TokenKindWord::Person,
                TokenKind::Service => TokenKindWord::Service,
            },
            actor: token.person,
            role: token.role.into(),
            applications: token.applications,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}
