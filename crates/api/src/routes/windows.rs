//! Freeze windows: when nothing, or only then something, is rolled back without a person who asked for it.

use axum::{Json, http::StatusCode};
use domain::{
    name::{Actor, ApplicationName},
    time::{Millis, Moment},
    window::{Cron, DURATION_MAX, Window, WindowKind, Zone},
};
use serde::{Deserialize, Serialize};
use store::{StoredWindow, WINDOWS_EACH_MAX, WINDOWS_MAX};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{applications::find, page::Listing};
use crate::{
    auth::{Operate, Permit, Read},
    clock,
    input::{At, Input},
    problem::{FieldError, Problem},
};

/// Shortest window, in seconds.
const DURATION_S_MIN: u32 = 60;
/// Longest note.
const NOTE_CHARS_MAX: usize = 500;

/// A freeze window.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "deny", "cron": "0 18 * * fri", "duration_s": 223200, "zone": "Europe/Berlin", "rollbacks": true}))]
pub struct WindowRequest {
    /// What it means while it is open: `deny` wins over `allow`.
    pub kind: WindowKind,
    /// For which application; without it for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationName>,
    /// When it begins: minute, hour, day of the month, month, day of the week. A beginning that clocks skip in spring
    /// is at the moment of the jump; one that they show twice in autumn is the first.
    #[schema(max_length = 200)]
    pub cron: String,
    /// How long it is open, in seconds that pass, whatever clocks do.
    #[schema(minimum = 60, maximum = 2678400)]
    pub duration_s: u32,
    /// The time zone that `cron` is read in, such as `Europe/Berlin` or `UTC`.
    #[schema(max_length = 64)]
    pub zone: String,
    /// Whether it keeps rollbacks from starting by themselves. Usually it does not: a rollback makes things as they were.
    #[serde(default)]
    pub rollbacks: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub note: Option<String>,
}

/// A freeze window as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WindowAnswer {
    /// Its identity.
    pub id: Uuid,
    /// What it means while it is open.
    pub kind: WindowKind,
    /// For which application; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationName>,
    /// When it begins.
    pub cron: String,
    /// How long it is open.
    pub duration_s: u32,
    /// The time zone that `cron` is read in.
    pub zone: String,
    /// Whether it keeps rollbacks from starting by themselves.
    pub rollbacks: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who made it.
    pub made_by: Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Moment,
    /// Until when it is open; absent while it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub open_until: Option<Moment>,
    /// When it opens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Moment>,
    /// Why this program does not understand its times; then nothing is rolled back by itself, if it is for rollbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// Names one window.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct WindowPath {
    /// The window's identity.
    pub id: Uuid,
}

/// Freeze windows, oldest first, and whether each is open now.
#[utoipa::path(get, path = "/api/v1/freeze-windows", operation_id = "list_windows", tag = "guards",
    responses((status = 200, description = "All windows; there are at most 200", body = Listing<WindowAnswer>)))]
pub(crate) async fn list(permit: Permit<Read>) -> Result<Json<Listing<WindowAnswer>>, Problem> {
    let stored = permit.store().windows(None).await?;
    let visible = |stored: &StoredWindow| {
        let of = stored.window.application.as_ref();
        of.is_none_or(|name| permit.sees(name))
    };
    let now = clock::now();
    let items = stored.into_iter().filter(visible);
    Ok(Json(Listing {
        items: items.map(|stored| answer(stored, now)).collect(),
        next: None,
    }))
}

/// Adds a freeze window. One that lets rollbacks start by themselves is added by persons only.
#[utoipa::path(post, path = "/api/v1/freeze-windows", operation_id = "add_window", tag = "guards",
    request_body = WindowRequest, responses((status = 201, description = "It counts from now on", body = WindowAnswer),
        (status = 403, description = "A service may add windows that keep rollbacks from starting, not windows that let them start", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such application that you may see", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn add(
    permit: Permit<Operate>,
    Input(ask): Input<WindowRequest>,
) -> Result<(StatusCode, Json<WindowAnswer>), Problem> {
    match &ask.application {
        None => permit.must_see_all()?,
        Some(name) => {
            find(&permit, name).await?;
        }
    }
    // It opens what another window of its kind keeps closed.
    if ask.kind == WindowKind::Allow && ask.rollbacks {
        permit.must_be_person("add windows in which rollbacks may start by themselves")?;
    }
    let window = window(&ask).map_err(Problem::fields)?;
    let now = clock::now();
    let stored = StoredWindow {
        window,
        note: ask.note,
        made_by: permit.actor().clone(),
        made_at: now,
    };
    if !permit.store().window_add(&stored).await? {
        let what = format!(
            "there are {WINDOWS_MAX} windows already, or {WINDOWS_EACH_MAX} of them for the same: remove one first"
        );
        return Err(Problem::fields([field("kind", what)]));
    }
    Ok((StatusCode::CREATED, Json(answer(stored, now))))
}

/// Removes a freeze window, now.
#[utoipa::path(delete, path = "/api/v1/freeze-windows/{id}", operation_id = "remove_window", tag = "guards",
    params(WindowPath), responses((status = 204, description = "It counts no more"),
        (status = 403, description = "A service may add windows, not remove them", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn remove(
    permit: Permit<Operate>,
    At(path): At<WindowPath>,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::not_found("window", &path.id.to_string());
    match permit.store().window_application(path.id).await {
        Ok(None) => permit.must_see_all()?,
        Ok(Some(name)) if permit.sees(&name) => {}
        Ok(Some(_)) | Err(store::Error::NotFound(_)) => return Err(missing()),
        Err(error) => return Err(error.into()),
    }
    permit.must_be_person("remove freeze windows")?;
    match permit.store().window_remove(path.id, permit.actor()).await {
        Err(store::Error::NotFound(_)) => Err(missing()),
        done => done.map(|()| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

fn window(ask: &WindowRequest) -> Result<Window, Vec<FieldError>> {
    let mut bad = Vec::new();
    let cron = ask.cron.parse::<Cron>();
    let zone = ask.zone.parse::<Zone>();
    if let Err(what) = &cron {
        bad.push(field("cron", what));
    }
    if let Err(what) = &zone {
        bad.push(field("zone", what));
    }
    let max = u32::try_from(DURATION_MAX.0 / 1000).unwrap_or(u32::MAX);
    if !(DURATION_S_MIN..=max).contains(&ask.duration_s) {
        let what = format!("use {DURATION_S_MIN} to {max} seconds");
        bad.push(field("duration_s", what));
    }
    let note = ask.note.as_deref().unwrap_or("x");
    if note.trim().is_empty() || note.chars().count() > NOTE_CHARS_MAX {
        let what = format!("use 1 to {NOTE_CHARS_MAX} characters, or leave it out");
        bad.push(field("note", what));
    }
    match (cron, zone) {
        (Ok(cron), Ok(zone)) if bad.is_empty() => Ok(Window {
            id: Uuid::now_v7(),
            kind: ask.kind,
            application: ask.application.clone(),
            cron,
            duration: Millis::from_secs(ask.duration_s),
            zone,
            rollbacks: ask.rollbacks,
        }),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(bad),
    }
}

fn field(name: &str, what: impl Into<String>) -> FieldError {
    FieldError {
        field: name.to_owned(),
        what: what.into(),
    }
}

fn answer(stored: StoredWindow, now: Moment) -> WindowAnswer {
    let window = stored.window;
    WindowAnswer {
        unreadable: window.open_until(now).err(),
        open_until: window.open_until(now).ok().flatten(),
        next_at: window.next_after(now).ok().flatten(),
        id: window.id,
        kind: window.kind,
        application: window.application,
        cron: window.cron.to_string(),
        duration_s: u32::try_from(window.duration.0 / 1000).unwrap_or(u32::MAX),
        zone: window.zone.to_string(),
        rollbacks: window.rollbacks,
        note: stored.note,
        made_by: stored.made_by,
        made_at: stored.made_at,
    }
}
