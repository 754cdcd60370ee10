//! `token`: made, listed, revoked. A token's text goes to stdout once and is kept nowhere.

use reqwest::Method;

use super::{
    args::{TokenCommand, TokenCreateArgs, TokenRole},
    table::{self, Cell, Tone},
};
use crate::{
    client::{
        Client, Conditions,
        answers::{Listing, NewTokenAnswer, Role, TokenAnswer, TokenKindWord, TokenRequest},
        problem::Failure,
    },
    exit::Exit,
    out::{Out, Paint},
    progress::{now, words::date},
};

/// The command.
///
/// # Errors
/// What the server says no with.
pub async fn run(command: &TokenCommand, client: &Client, out: &Out) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create(args) => create(args, client, out).await,
        TokenCommand::List => list(client, out).await,
        TokenCommand::Revoke { id } => {
            client
                .send(
                    Method::DELETE,
                    &format!("/api/v1/tokens/{id}"),
                    None::<&()>,
                    Conditions::default(),
                )
                .await?;
            if out.json {
                out.object(&serde_json::json!({ "id": id, "revoked": true }));
            } else {
                out.data(&format!("token {id} is revoked"));
            }
            Ok(Exit::Reached)
        }
    }
}

async fn create(args: &TokenCreateArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let kind = if args.person.is_some() {
        TokenKindWord::Person
    } else {
        TokenKindWord::Service
    };
    let body = TokenRequest {
        name: args.name.clone(),
        kind,
        person: args.person.clone(),
        role: role(args.role),
        applications: (!args.applications.is_empty()).then(|| args.applications.clone()),
        expires_in_days: Some(args.days.into()),
    };
    let reply = client
        .post("/api/v1/tokens", &body, Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let answer: NewTokenAnswer = reply.read()?;
    out.data(&answer.token);
    out.say(&format!(
        "This is shown once. It acts as {} ({}) until {}. Keep it in a file of mode 0600 and name that in STERNWAY_TOKEN_FILE.",
        answer.about.actor,
        answer.about.role.word(),
        date(answer.about.expires_at)
    ));
    Ok(Exit::Reached)
}

pub(super) fn role(role: TokenRole) -> Role {
    match role {
        TokenRole::Viewer => Role::Viewer,
        TokenRole::Operator => Role::Operator,
        TokenRole::Approver => Role::Approver,
        TokenRole::Admin => Role::Admin,
    }
}

async fn list(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get("/api/v1/tokens?limit=100").await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<TokenAnswer> = reply.read()?;
    out.data(&text(&page.items, out.data));
    if page.next.is_some() {
        out.say("These are the newest 100; GET /api/v1/tokens lists all.");
    }
    Ok(Exit::Reached)
}

fn text(tokens: &[TokenAnswer], paint: Paint) -> String {
    let rows: Vec<[Cell; 7]> = tokens
        .iter()
        .map(|token| {
            let scope = token
                .applications
                .as_ref()
                .map_or("all".to_owned(), |names| {
                    names
                        .iter()
                        .map(domain::name::ApplicationName::as_str)
                        .collect::<Vec<_>>()
                        .join(" ")
                });
            [
                token.id.to_string().into(),
                token.name.as_str().into(),
                token.actor.as_str().into(),
                token.role.word().into(),
                scope.into(),
                Cell::or_dash(token.last_used_at.map(date)),
                state(token),
            ]
        })
        .collect();
    table::render(
        [
            "ID",
            "NAME",
            "ACTS AS",
            "ROLE",
            "APPLICATIONS",
            "LAST USED",
            "STATE",
        ],
        &rows,
        paint,
    )
}

fn state(token: &TokenAnswer) -> Cell {
    match token.revoked_at {
        Some(at) => Cell::toned(format!("revoked {}", date(at)), Tone::Warn),
        None if token.expires_at <= now() => {
            Cell::toned(format!("expired {}", date(token.expires_at)), Tone::Warn)
        }
        None => Cell::toned(
            format!("valid until {}", date(token.expires_at)),
            Tone::Good,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_listed_without_their_text() {
        let tokens: Vec<TokenAnswer> = serde_json::from_value(serde_json::json!([
            {"id": uuid::Uuid::nil(), "name": "ci", "kind": "service", "actor": "service:ci", "role": "operator", "applications": ["shop"],
             "created_by": "ana", "created_at": "2020-01-01T00:00:00Z", "expires_at": "2020-02-01T00:00:00Z", "token": "rb_never_shown"}
        ]))
        .unwrap();
        let text = text(&tokens, Paint::default());
        assert!(
            text.ends_with(
                "ci    service:ci  operator  shop          –          expired 2020-02-01 00:00:00Z"
            ),
            "{text}"
        );
        assert!(!text.contains("rb_never"));
    }
}
