//! From a request to who asks. It says nothing of what they may do.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{header, request::Parts};
use domain::{name::Actor, time::Millis};
use store::{Store, TokenKind};

use super::{
    App, Principal, PrincipalKind, Role, Token, TokenProof, TokenType, throttle::Beforehand,
};
use crate::{clock::now, edge::Peer, metric, problem::Problem};

/// How long the set-up token of a first start can be used.
pub const SETUP_TOKEN_MINUTES: u32 = 15;
/// A token's last use is written down at most this often.
const USE_NOTED_EACH: Millis = Millis::from_secs(60);

/// A one-time token that makes the first one, when there is none yet. Show it; it is not stored.
///
/// # Errors
/// As the store, or when the system gives no randomness.
pub async fn setup_token(store: &Store) -> Result<Option<Token>, store::Error> {
    if !store.setup_needed().await? {
        return Ok(None);
    }
    let token = Token::generate(TokenType::Setup)
        .map_err(|error| store::Error::Unfit(format!("the system gives no randomness: {error}")))?;
    let until = now().after(Millis::from_secs(SETUP_TOKEN_MINUTES * 60));
    store.setup_token_put(&token.hash(), until).await?;
    Ok(Some(token))
}

pub(super) async fn principal(parts: &Parts, app: &App) -> Result<Principal, Problem> {
    let peer = peer(parts);
    match bearer(parts)? {
        Some(text) => match Token::parse(text) {
            Some(token) if token.is_setup() => {
                beforehand(app, address(peer), &token.hash())?;
                Ok(setup(&token))
            }
            Some(token) => by_token(&token, peer, app).await,
            None => {
                metric::token_refused();
                Err(Problem::unauthenticated(
                    "the token is mistyped or cut off: its checksum is wrong",
                ))
            }
        },
        None => local(peer),
    }
}

/// Whether who asked then may still ask now.
pub(super) async fn again(principal: &Principal, app: &App) -> Result<(), Problem> {
    let Some(proof) = &principal.token else {
        return Ok(());
    };
    if proof.expires_at > now() && app.store().token_lives(proof.id).await? {
        return Ok(());
    }
    Err(refused())
}

fn peer(parts: &Parts) -> Peer {
    let peer = parts.extensions.get::<Peer>().copied();
    peer.unwrap_or(Peer::Tcp(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

fn address(peer: Peer) -> IpAddr {
    match peer {
        Peer::Tcp(address) => address,
        Peer::Local(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// Where refused tokens are counted against.
pub(super) fn counted_at(parts: &Parts) -> IpAddr {
    address(peer(parts))
}

/// Says no to what need not be asked of the database.
fn beforehand(app: &App, address: IpAddr, hash: &[u8; 32]) -> Result<(), Problem> {
    match app.throttle().beforehand(address, hash) {
        Beforehand::Ask => Ok(()),
        Beforehand::Refused => Err(refused()),
        Beforehand::Wait(seconds) => Err(Problem::too_many_failures(seconds)),
    }
}

fn bearer(parts: &Parts) -> Result<Option<&str>, Problem> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let token = text
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) => Ok(Some(token.trim())),
        None => Err(Problem::unauthenticated(
            "the `authorization` header is not one `Bearer` token",
        )),
    }
}

fn refused() -> Problem {
    metric::token_refused();
    Problem::unauthenticated("the token is not known, revoked or expired")
}

async fn by_token(token: &Token, peer: Peer, app: &App) -> Result<Principal, Problem> {
    let (hash, address) = (token.hash(), address(peer));
    beforehand(app, address, &hash)?;
    let Some(stored) = app.store().token_find(&hash).await? else {
        app.throttle().refused(address, hash);
        return Err(refused());
    };
    app.throttle().accepted(hash);
    note_use(&stored, app).await;
    let kind = match stored.kind {
        TokenKind::Person => PrincipalKind::Person,
        TokenKind::Service => PrincipalKind::Service,
    };
    Ok(Principal {
        actor: stored.person,
        kind,
        role: Role::from(stored.role),
        applications: stored.applications.map(|names| names.into_iter().collect()),
        token: Some(TokenProof {
            id: stored.id,
            hash,
            expires_at: stored.expires_at,
        }),
    })
}

/// A use that could not be written down stops nobody.
async fn note_use(token: &store::Token, app: &App) {
    let fresh = token
        .last_used_at
        .is_some_and(|at| now().since(at) < USE_NOTED_EACH);
    if !fresh && let Err(error) = app.store().token_used(token.id).await {
        tracing::debug!(%error, "the use of a token was not written down");
    }
}

/// Whether the set-up token is good is known when it is used: that and its end are one transaction.
fn setup(token: &Token) -> Principal {
    Principal {
        actor: named("setup"),
        kind: PrincipalKind::Setup,
        role: Role::Admin,
        applications: None,
        token: Some(TokenProof {
            id: uuid::Uuid::nil(),
            hash: token.hash(),
            expires_at: now(),
        }),
    }
}

/// A process of our own user, or root: whoever can be that can read our database as well.
fn local(peer: Peer) -> Result<Principal, Problem> {
    match peer {
        Peer::Local(uid) if uid == 0 || uid == rustix::process::geteuid().as_raw() => {
            Ok(Principal {
                actor: named(&format!("local:{}", user_name(uid))),
                kind: PrincipalKind::Local,
                role: Role::Admin,
                applications: None,
                token: None,
            })
        }
        Peer::Local(_) => Err(Problem::unauthenticated(
            "the local socket is for the server's own user and root",
        )),
        Peer::Tcp(_) => Err(Problem::unauthenticated("there is no token")),
    }
}

fn named(name: &str) -> Actor {
    name.parse()
        .unwrap_or_else(|_| "local:unknown".parse().expect("a plain name is an actor"))
}

/// The user's name from the system's list, or the number.
fn user_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}
