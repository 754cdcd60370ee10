//! Chats: which person each of their users is, and the token that is posted with. Saying who somebody is gives what a token
//! would, so only an administrator does, and no service.

use axum::{
    Json,
    http::{StatusCode, Uri},
};
use domain::{
    name::{Actor, ApplicationName, ChatUser, TriggerName},
    time::Moment,
    trigger::Kind,
};
use serde::{Deserialize, Serialize};
use store::{ChatPerson, Page};
use utoipa::{IntoParams, ToSchema};

use super::{
    page::{Listing, Paged, limit},
    tokens::is_person,
    triggers::{TriggerPath, find},
};
use crate::{
    auth::{Action, Administer, Permit, Role},
    clock::now,
    input::{At, Input, Params},
    problem::{FieldError, Problem},
};

/// Longest list of applications.
const APPLICATIONS_MAX: usize = 100;
/// Shortest and longest token of a bot.
const BOT_CHARS: std::ops::RangeInclusive<usize> = 10..=512;

/// Names one user of a chat.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ChatUserPath {
    /// Name of the chat's trigger.
    #[param(inline, example = "slack")]
    pub trigger: TriggerName,
    /// The user: `TEAM.USER` in Slack, the user's identity in Mattermost.
    #[param(inline, example = "T0001.U0ADA")]
    pub user: ChatUser,
}

/// Which users.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChatUserParams {
    /// The `next` of the page before.
    #[param(inline)]
    pub after: Option<ChatUser>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// Who a user of a chat is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"person": "ana", "role": "operator"}))]
pub struct ChatPersonRequest {
    /// The person, by the name that their tokens have too: nobody approves their own request by another way in.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[a-z0-9][a-z0-9_.@-]{0,63}$"
    )]
    pub person: String,
    /// What they may do from the chat.
    pub role: Role,
    /// The applications that they may see there; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 100)]
    pub applications: Option<Vec<ApplicationName>>,
}

/// A user of a chat, and the person that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatPersonAnswer {
    /// The user.
    pub user: ChatUser,
    /// The person.
    pub person: Actor,
    /// What they may do from the chat.
    pub role: Role,
    /// The applications that they may see there; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<ApplicationName>>,
    /// Who said so.
    pub mapped_by: Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub mapped_at: Moment,
}

/// The token of a bot.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BotRequest {
    /// The token, as the chat shows it: `xoxb-...`. It is sealed, and never shown again.
    #[schema(min_length = 10, max_length = 512)]
    pub token: String,
}

impl std::fmt::Debug for BotRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BotRequest")
    }
}

/// The persons of a chat, by user.
#[utoipa::path(get, path = "/api/v1/triggers/{trigger}/persons", operation_id = "list_chat_persons", tag = "triggers",
    params(TriggerPath, ChatUserParams),
    responses((status = 200, description = "A page of persons", body = Listing<ChatPersonAnswer>,
        headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
    Params(ask): Params<ChatUserParams>,
    uri: Uri,
) -> Result<Paged<ChatPersonAnswer>, Problem> {
    permit.must_see_all()?;
    is_there(&permit, &path.trigger).await?;
    let page = Page {
        after: ask.after,
        limit: limit(ask.limit)?,
    };
    let listed = permit
        .store()
        .chat_person_list(&path.trigger, &page)
        .await?;
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next: listed.next.map(|user| user.to_string()),
    };
    Ok(Paged { listing, uri })
}

/// Says who a user of a chat is: what they ask for there is done in that person's name. Said again, the newest counts.
#[utoipa::path(put, path = "/api/v1/triggers/{trigger}/persons/{user}", operation_id = "map_chat_person", tag = "triggers",
    params(ChatUserPath), request_body = ChatPersonRequest,
    responses((status = 200, description = "It is so", body = ChatPersonAnswer)))]
pub(crate) async fn map(
    permit: Permit<Administer>,
    At(path): At<ChatUserPath>,
    Input(ask): Input<ChatPersonRequest>,
) -> Result<Json<ChatPersonAnswer>, Problem> {
    permit.must_see_all()?;
    permit.must_be_person("say who a user of a chat is")?;
    let wrong = |field: &str, what: String| {
        Problem::fields([FieldError {
            field: field.to_owned(),
            what,
        }])
    };
    let person: Option<Actor> = ask.person.parse().ok();
    let person = person.filter(|_| is_person(&ask.person)).ok_or_else(|| {
        wrong(
            "person",
            "use the name of a person, as for a token: a-z, 0-9, `_`, `.`, `@`, `-`".to_owned(),
        )
    })?;
    let listed = ask.applications.as_ref().map_or(1, Vec::len);
    if !(1..=APPLICATIONS_MAX).contains(&listed) {
        let what = format!("name 1 to {APPLICATIONS_MAX}, or leave it out for all");
        return Err(wrong("applications", what));
    }
    is_there(&permit, &path.trigger).await?;
    let new = ChatPerson {
        user: path.user,
        person,
        role: ask.role.into(),
        applications: ask.applications,
        mapped_by: permit.actor().clone(),
        mapped_at: now(),
    };
    permit.store().chat_person_put(&path.trigger, &new).await?;
    Ok(Json(new.into()))
}

/// Nobody is that user any more.
#[utoipa::path(delete, path = "/api/v1/triggers/{trigger}/persons/{user}", operation_id = "unmap_chat_person", tag = "triggers",
    params(ChatUserPath), responses((status = 204, description = "It is so")))]
pub(crate) async fn unmap(
    permit: Permit<Administer>,
    At(path): At<ChatUserPath>,
) -> Result<StatusCode, Problem> {
    permit.must_see_all()?;
    let store = permit.store();
    let removed = store.chat_person_remove(&path.trigger, &path.user, permit.actor());
    match removed.await {
        Err(store::Error::NotFound(what)) => Err(Problem::not_found(what, path.user.as_str())),
        done => done.map(|()| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

/// Sets the token that cards are posted with in Slack; it needs the scope `chat:write`. The one before it is gone.
#[utoipa::path(put, path = "/api/v1/triggers/{trigger}/bot", operation_id = "set_chat_bot", tag = "triggers",
    params(TriggerPath), request_body = BotRequest,
    responses((status = 204, description = "It is kept")))]
pub(crate) async fn set_bot(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
    Input(ask): Input<BotRequest>,
) -> Result<StatusCode, Problem> {
    permit.must_see_all()?;
    let plain = ask.token.bytes().all(|b| b.is_ascii_graphic());
    if !plain || !BOT_CHARS.contains(&ask.token.len()) {
        return Err(Problem::fields([FieldError {
            field: "token".to_owned(),
            what: "use the token as the chat shows it".to_owned(),
        }]));
    }
    if is_there(&permit, &path.trigger).await? != Kind::Slack {
        let said = "only a trigger of the kind `slack` posts";
        return Err(Problem::fields([FieldError {
            field: "trigger".to_owned(),
            what: said.to_owned(),
        }]));
    }
    let store = permit.store();
    store
        .chat_bot_put(&path.trigger, &ask.token, permit.actor())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The kind of a chat that is there.
async fn is_there<A: Action>(permit: &Permit<A>, name: &TriggerName) -> Result<Kind, Problem> {
    let found = find(permit, name).await?;
    let found = found.ok_or_else(|| Problem::not_found("trigger", name.as_str()))?;
    let kind = found.trigger.kind;
    if kind.is_chat() {
        return Ok(kind);
    }
    Err(Problem::fields([FieldError {
        field: "trigger".to_owned(),
        what: format!("is of the kind `{}`, which is no chat", kind.word()),
    }]))
}

impl From<ChatPerson> for ChatPersonAnswer {
    fn from(person: ChatPerson) -> Self {
        Self {
            user: person.user,
            person: person.person,
            role: person.role.into(),
            applications: person.applications,
            mapped_by: person.mapped_by,
            mapped_at: person.mapped_at,
        }
    }
}
