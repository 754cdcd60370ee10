//! Requests for rollbacks, and where each is. Intent only: no route advances a run.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use domain::{
    lifecycle::Phase,
    name::{ApplicationName, RollbackId},
    next::Order,
    plan,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use store::{
    Idempotency, NewRollback, OrderPut, Page, Requested, RollbackFilter, RollbackSummary,
    RollbackView, Verified,
};
use utoipa::IntoParams;
use uuid::Uuid;

use super::page::{Listing, Paged, limit};
use crate::{
    auth::{Action, Operate, Permit, Read, StreamPlace},
    clock::now,
    input::{At, InputWithBytes, Params, header_text},
    look::{Sight, Wish},
    metric,
    problem::Problem,
};

mod answer;
mod pins;
mod request;

pub use answer::{
    LogHead, NextAction, PhaseWord, PresentStep, RollbackAnswer, RollbackItem, VerdictWord,
};
pub use pins::PinAnswer;
pub use request::RollbackRequest;
pub(crate) use request::Way;

/// Longest wait of a long poll, in seconds: most proxies cut a silent request off after a minute.
pub const WAIT_S_MAX: u32 = 60;
/// How long the end of a proposal is waited for: a worker sees the order at once. Without one the request is refused, and
/// says which rollback is in its way.
const MAKE_WAY_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest key.
const KEY_CHARS_MAX: usize = 255;

/// How long to wait for news.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitParams {
    /// Seconds to wait until the target is proved or the rollback has ended.
    #[param(minimum = 0, maximum = 60)]
    pub wait: Option<u32>,
}

/// How to read one rollback.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadParams {
    /// Seconds to wait until the target is proved or the rollback has ended.
    #[param(minimum = 0, maximum = 60)]
    pub wait: Option<u32>,
    /// Whether to check the log's hash chain; the answer is `log.intact`.
    pub verify: Option<bool>,
}

/// Which rollbacks.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RollbackParams {
    /// Only of this application.
    #[param(inline)]
    pub application: Option<ApplicationName>,
    /// Only in this phase.
    #[param(inline)]
    pub phase: Option<PhaseWord>,
    /// Only those that have not ended, or only those that have.
    pub active: Option<bool>,
    /// The `next` of the page before.
    pub after: Option<Uuid>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// Names one rollback.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RollbackPath {
    /// The rollback.
    #[param(value_type = Uuid)]
    pub id: RollbackId,
}

/// A rollback that was accepted.
pub(crate) struct Accepted {
    answer: RollbackAnswer,
    replayed: bool,
}

impl Accepted {
    pub(crate) fn of(view: &RollbackView) -> Self {
        Self {
            answer: RollbackAnswer::of(view),
            replayed: false,
        }
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = format!("/api/v1/rollbacks/{}", self.answer.id);
        let mut response = (
            StatusCode::ACCEPTED,
            [(header::LOCATION, location)],
            Json(self.answer),
        )
            .into_response();
        if self.replayed {
            let name = HeaderName::from_static("idempotency-replayed");
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Requests a rollback along a plan. The plan is made again from a fresh look; if it differs, nothing is done.
#[utoipa::path(post, path = "/api/v1/rollbacks", operation_id = "request_rollback", tag = "rollbacks",
    params(WaitParams, ("idempotency-key" = String, Header, pattern = "^[!-~]{1,255}$",
        description = "A random key of this intent, such as a UUID; the same request with the same key is done once",
        example = "0199c0de-7a11-7000-8000-000000000001")),
    request_body = RollbackRequest, responses(
        (status = 202, description = "It is accepted and goes on by itself", body = RollbackAnswer, headers(
            ("location" = String, description = "The rollback"),
            ("idempotency-replayed" = String, description = "`true` when the key had been used for the same request"))),
        (status = 404, description = "The plan's application was taken out", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another rollback is active, something stands in the way, or there is nothing to do", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The plan is not known or no longer true", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The engine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn request(
    permit: Permit<Operate>,
    headers: HeaderMap,
    Params(params): Params<WaitParams>,
    InputWithBytes(ask, bytes): InputWithBytes<RollbackRequest>,
) -> Result<Accepted, Problem> {
    let wait = wait(params.wait)?;
    let idempotency = Idempotency {
        principal: permit.actor().to_string(),
        key: key(&headers)?.ok_or_else(|| Problem::key_bad("is missing"))?,
        body_hash: Sha256::digest(&bytes).to_vec(),
    };
    // Whatever can be refused is refused before the request is written.
    let _place = place(&permit, wait)?;
    let (mut view, replayed) = accept(&permit, &ask, Way::Proved, idempotency).await?;
    // It is accepted and goes on: what can not be seen any more is no reason to say otherwise.
    if let Err(problem) = follow(&permit, &mut view, wait).await {
        tracing::debug!(rollback = %view.id, ?problem, "the wait for news ended early");
    }
    Ok(Accepted {
        answer: RollbackAnswer::of(&view),
        replayed,
    })
}

/// Accepts a request, whichever way it came; the rollback, and whether an earlier request made it.
pub(crate) async fn accept(
    permit: &Permit<Operate>,
    ask: &RollbackRequest,
    way: Way,
    idempotency: Idempotency,
) -> Result<(RollbackView, bool), Problem> {
    ask.check(permit.principal().kind)?;
    let (view, replayed) = match permit.store().idempotency_find(&idempotency).await? {
        // The key is the actor's; another token of the same actor may see less.
        Some(earlier) => (find(permit, earlier).await?, true),
        None => admit(permit, ask, way, idempotency).await?,
    };
    metric::rollback_requested(if replayed { "replayed" } else { "new" });
    Ok((view, replayed))
}

/// Plans again and writes the request; the rollback, and whether an earlier request made it.
async fn admit(
    permit: &Permit<Operate>,
    ask: &RollbackRequest,
    way: Way,
    idempotency: Idempotency,
) -> Result<(RollbackView, bool), Problem> {
    let store = permit.store();
    let stored = match store.plan_get(&ask.plan_digest).await {
        Ok(plan) if permit.sees(&plan.application.name) => plan,
        Ok(_) | Err(store::Error::NotFound(_)) => {
            return Err(Problem::plan_unknown(&ask.plan_digest));
        }
        Err(error) => return Err(error.into()),
    };
    let name = stored.application.name.clone();
    none_acts(permit, &name).await?;
    let sight = Sight::take(permit, &name).await?;
    let fresh = sight.propose(permit, &Wish::of(&stored)).await?.plan;
    if !stored.still_holds(&fresh) {
        let digest = store.plan_put(&fresh, permit.actor()).await?;
        return Err(Problem::plan_stale(
            digest,
            plan::difference(&stored, &fresh),
        ));
    }
    if ask.break_glass.is_some() && !stored.application.approval {
        let what = format!("{name} asks for no approval: leave it out");
        return Err(request::wrong("break_glass", what));
    }
    if stored.changes_nothing() {
        return Err(Problem::nothing_to_do(stored.to.as_str()));
    }
    let (id, at) = (RollbackId(Uuid::now_v7()), now());
    let new = NewRollback {
        id,
        plan: &stored,
        requested_by: permit.actor().clone(),
        reason: ask.reason,
        note: ask.note.clone(),
        ticked: ask.ticked.clone(),
        idempotency,
        approval_until: ask.waits_until(&stored, way, at),
        break_glass: ask.break_glass.clone(),
        at,
    };
    let accepted = new.as_accepted()?;
    make_way(permit, &name).await?;
    match store.rollback_request(&new).await {
        Ok(Requested::New) => {
            if let Some(why) = &new.break_glass {
                metric::glass_broken();
                tracing::error!(rollback = %id, application = %name, by = %permit.actor(), why, "somebody broke the glass: a rollback starts without approval");
            }
            Ok((accepted, false))
        }
        Ok(Requested::Replayed(earlier)) => Ok((find(permit, earlier).await?, true)),
        Err(store::Error::Conflict(store::Constraint::OneActing { active })) => {
            Err(Problem::rollback_active(active, name.as_str()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Said before the look: while one acts, a fresh plan always differs, and that would hide the reason.
pub(crate) async fn none_acts<A: Action>(
    permit: &Permit<A>,
    name: &ApplicationName,
) -> Result<(), Problem> {
    let filter = RollbackFilter {
        application: Some(name.clone()),
        active: Some(true),
        ..RollbackFilter::default()
    };
    let active = permit
        .store()
        .rollback_list(
            &filter,
            &Page {
                after: None,
                limit: 0,
            },
        )
        .await?;
    // What an alert only proposes has touched nothing.
    let acts = |row: &&RollbackSummary| {
        let proposed = matches!(row.run.phase, Phase::AwaitingApproval { .. });
        row.run.phase.acts() && !(proposed && row.requested_by.is_trigger())
    };
    match active.items.iter().find(acts) {
        Some(row) => Err(Problem::rollback_active(row.id, name.as_str())),
        None => Ok(()),
    }
}

/// What an alert only proposes gives way to whoever asks: it is called off in their name, and its end is waited for.
async fn make_way(permit: &Permit<Operate>, name: &ApplicationName) -> Result<(), Problem> {
    let store = permit.store();
    let Some(proposed) = store.proposal_withdraw(name, permit.actor()).await? else {
        return Ok(());
    };
    let mut view = store.rollback_get(proposed).await?;
    follow(permit, &mut view, MAKE_WAY_TIMEOUT).await
}

/// Rollbacks, newest first.
#[utoipa::path(get, path = "/api/v1/rollbacks", operation_id = "list_rollbacks", tag = "rollbacks",
    params(RollbackParams), responses((status = 200, description = "A page of rollbacks", body = Listing<RollbackItem>,
        headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Read>,
    Params(ask): Params<RollbackParams>,
    uri: Uri,
) -> Result<Paged<RollbackItem>, Problem> {
    let filter = RollbackFilter {
        application: ask.application,
        within: permit
            .principal()
            .applications
            .as_ref()
            .map(|names| names.iter().cloned().collect()),
        phase: ask.phase.map(|phase| phase.word().to_owned()),
        active: ask.active,
    };
    let after = ask.after.map(RollbackId);
    let listed = permit
        .store()
        .rollback_list(
            &filter,
            &Page {
                after,
                limit: limit(ask.limit)?,
            },
        )
        .await?;
    let next = listed.next.map(|id| id.to_string());
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next,
    };
    Ok(Paged { listing, uri })
}

/// One rollback: where it is, how it ended, what to do next.
#[utoipa::path(get, path = "/api/v1/rollbacks/{id}", operation_id = "get_rollback", tag = "rollbacks",
    params(RollbackPath, ReadParams), responses((status = 200, description = "The rollback", body = RollbackAnswer)))]
pub(crate) async fn get(
    permit: Permit<Read>,
    At(path): At<RollbackPath>,
    Params(params): Params<ReadParams>,
) -> Result<Json<RollbackAnswer>, Problem> {
    let wait = wait(params.wait)?;
    let mut view = find(&permit, path.id).await?;
    let _place = place(&permit, wait)?;
    follow(&permit, &mut view, wait).await?;
    let pins = permit.store().pins_of(path.id).await?;
    let mut answer = RollbackAnswer::of(&view).with_pins(&view, pins);
    if params.verify == Some(true) {
        answer.log.intact = Some(match permit.store().verify(path.id).await? {
            Verified::Ok { .. } => true,
            Verified::Broken { seq, why } => {
                answer.notes.push(format!(
                    "the log is not what was written: event {seq}: {why}"
                ));
                false
            }
        });
    }
    Ok(Json(answer))
}

/// Asks to call a rollback off at its next safe point.
#[utoipa::path(post, path = "/api/v1/rollbacks/{id}/cancel", operation_id = "cancel_rollback", tag = "rollbacks",
    params(RollbackPath), responses(
        (status = 202, description = "It is asked for; the log says what came of it", body = RollbackAnswer, headers(("location" = String, description = "The rollback"))),
        (status = 409, description = "It has ended, or is too far on to be called off", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn cancel(
    permit: Permit<Operate>,
    At(path): At<RollbackPath>,
) -> Result<Accepted, Problem> {
    let view = find(&permit, path.id).await?;
    order(
        &permit,
        &view,
        Order::Cancel {
            by: permit.actor().clone(),
        },
    )
    .await
}

/// Writes an order of a person and answers with the rollback as it is now.
pub(crate) async fn order<A: Action>(
    permit: &Permit<A>,
    view: &RollbackView,
    order: Order,
) -> Result<Accepted, Problem> {
    let ended = |view: &RollbackView| {
        let verdict = view
            .verdict
            .as_ref()
            .map_or("it has ended", domain::verdict::Verdict::word);
        Problem::rollback_ended(view.id, verdict)
    };
    if view.verdict.is_some() {
        return Err(ended(view));
    }
    match permit
        .store()
        .order_put(view.id, &order, permit.actor())
        .await?
    {
        OrderPut::Accepted => Ok(Accepted::of(view)),
        OrderPut::Expired { until } => Err(Problem::approval_over(view.id, until)),
        OrderPut::Ended => Err(ended(&permit.store().rollback_get(view.id).await?)),
        OrderPut::TooLate(why) => Err(match order {
            Order::Approve { .. } | Order::Reject { .. } => {
                let now = permit.store().rollback_get(view.id).await?;
                Problem::approval_not_awaited(now.id, &now.phase)
            }
            Order::Cancel { .. } | Order::Supersede { .. } => {
                Problem::cancel_too_late(view.id, why)
            }
        }),
    }
}

/// The rollback, when it exists and may be seen.
pub(crate) async fn find<A: Action>(
    permit: &Permit<A>,
    id: RollbackId,
) -> Result<RollbackView, Problem> {
    match permit.store().rollback_get(id).await {
        Ok(view) if permit.sees(&view.application) => Ok(view),
        Ok(_) | Err(store::Error::NotFound(_)) => {
            Err(Problem::not_found("rollback", &id.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// A place among those that wait, for who does.
fn place<A: Action>(permit: &Permit<A>, wait: Duration) -> Result<Option<StreamPlace>, Problem> {
    (!wait.is_zero()).then(|| permit.stream_place()).transpose()
}

/// Looks until the rollback is proved or ended, or the time is up; `view` is what was seen last.
async fn follow<A: Action>(
    permit: &Permit<A>,
    view: &mut RollbackView,
    wait: Duration,
) -> Result<(), Problem> {
    let deadline = tokio::time::Instant::now() + wait;
    let mut wakes = permit.store().wake().subscribe(store::Topic::Events);
    loop {
        *view = permit.store().rollback_get(view.id).await?;
        let decided = matches!(view.run.phase, Phase::Watching { .. } | Phase::Ended { .. });
        if decided || tokio::time::Instant::now() >= deadline || permit.shutting_down() {
            return Ok(());
        }
        permit.pause(&mut wakes, deadline).await;
        permit.still_valid().await?;
    }
}

fn wait(seconds: Option<u32>) -> Result<Duration, Problem> {
    match seconds.unwrap_or(0) {
        seconds @ 0..=WAIT_S_MAX => Ok(Duration::from_secs(u64::from(seconds))),
        _ => Err(Problem::parameter(
            "wait",
            format!("use 0 to {WAIT_S_MAX} seconds"),
        )),
    }
}

/// The client's key of its request, when it gave one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = header_text(headers, "idempotency-key")
        .map_err(|_| Problem::key_bad("is not 1 to 255 visible ASCII characters, given once"))?
    else {
        return Ok(None);
    };
    let visible = key.bytes().all(|b| b.is_ascii_graphic());
    if visible && (1..=KEY_CHARS_MAX).contains(&key.len()) {
        Ok(Some(key.to_owned()))
    } else {
        Err(Problem::key_bad("is not 1 to 255 visible ASCII characters"))
    }
}
