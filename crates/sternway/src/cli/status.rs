//! `status`: what runs, what could come back, what goes on.

use domain::{
    application::Application,
    name::ApplicationName,
    planner::{Blocker, BlockerCode},
};

use super::{
    application,
    args::StatusArgs,
    automatic, decide,
    table::{self, Cell, Tone},
    versions, watch,
};
use crate::{
    client::{
        Client,
        answers::{
            ApplicationItem, AutomaticState, Listing, PhaseWord, ReleaseAnswer, ReleasesAnswer,
            ReturnAnswer, RollbackAnswer, RollbackItem, StateWord, VerdictWord,
        },
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint, one_line},
    progress::words::date,
};

/// Rollbacks among which the newest one that pinned something is looked for.
const LOOKED_BACK: u32 = 10;

/// What is known of one application.
#[derive(Debug)]
struct Known {
    application: Application,
    releases: Vec<ReleaseAnswer>,
    rollback: Option<RollbackItem>,
    /// What it pinned, in words.
    pinned: Vec<String>,
    /// The held release that is back.
    returned: Option<ReturnAnswer>,
}

/// The command.
///
/// # Errors
/// What the server says no with.
pub async fn run(args: &StatusArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    say_what_is_off(args.application.as_ref(), client, out).await;
    decide::say_what_is_open(args.application.as_ref(), client, out).await;
    match &args.application {
        Some(name) => one(name, client, out).await,
        None => all(client, out).await,
    }
}

/// Where rollbacks may not start by themselves. A server that does not know of it, or does not say, has nothing to say.
async fn say_what_is_off(name: Option<&ApplicationName>, client: &Client, out: &Out) {
    let Ok(reply) = client.get(automatic::AUTOMATIC).await else {
        return;
    };
    let Ok(state) = reply.read::<AutomaticState>() else {
        return;
    };
    for off in state.off {
        if name.is_none() || off.application.is_none() || off.application.as_ref() == name {
            out.say(&automatic::off_since(&off));
        }
    }
}

async fn one(name: &ApplicationName, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let application = client.get(&application::path(name)).await?;
    let releases = versions::releases(client, name, out).await?;
    let rollbacks = client
        .get(&format!(
            "/api/v1/rollbacks?application={}&limit={LOOKED_BACK}",
            segment(name.as_str())
        ))
        .await?;
    let last = rollbacks.read::<Listing<RollbackItem>>()?.items;
    let pinned = newest_pins(client, &last).await?;
    let last = last.into_iter().next();
    let returns = client
        .get(&format!(
            "/api/v1/applications/{}/returns?limit=1",
            segment(name.as_str())
        ))
        .await?;
    let returned = returns
        .read::<Listing<ReturnAnswer>>()?
        .items
        .into_iter()
        .find(|found| found.open);
    if out.json {
        let rollback = &rollbacks.raw["items"][0];
        out.object(&serde_json::json!({
            "application": application.raw, "releases": releases.raw["items"], "rollback": rollback,
            "pinned": pinned, "returned": returned
        }));
        return Ok(Exit::Reached);
    }
    let known = Known {
        application: application.read()?,
        releases: releases.read::<ReleasesAnswer>()?.items,
        rollback: last,
        pinned,
        returned,
    };
    out.data(&text(&known, out.data));
    Ok(Exit::Reached)
}

/// What the newest rollback that pinned anything says of it: what came after it may have ended before it touched a file.
async fn newest_pins(client: &Client, newest: &[RollbackItem]) -> Result<Vec<String>, Failure> {
    for one in newest {
        let stays = match one.verdict {
            None | Some(VerdictWord::RolledBack | VerdictWord::NeedsHuman) => true,
            Some(VerdictWord::Restored | VerdictWord::Refused | VerdictWord::Cancelled) => false,
        };
        if stays {
            let found = pins(&client.get(&watch::path(one.id)).await?.read()?);
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

async fn all(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get("/api/v1/applications?limit=100").await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<ApplicationItem> = reply.read()?;
    if page.items.is_empty() {
        out.say("There is no application yet. Make one of a running Compose project: sternway adopt PROJECT > app.toml");
    }
    let mut rows = Vec::new();
    for item in page.items {
        let name = &item.application.name;
        let releases = versions::releases(client, name, out)
            .await?
            .read::<ReleasesAnswer>()?
            .items;
        let path = format!(
            "/api/v1/rollbacks?application={}&active=true&limit=1",
            segment(name.as_str())
        );
        let rollback = client
            .get(&path)
            .await?
            .read::<Listing<RollbackItem>>()?
            .items
            .into_iter()
            .next();
        rows.push(
            Known {
                application: item.application,
                releases,
                rollback,
                pinned: Vec::new(),
                returned: item.returned,
            }
            .row(),
        );
    }
    out.data(&table::render(
        [
            "APPLICATION",
            "ENVIRONMENT",
            "RUNS",
            "LAST KNOWN GOOD",
            "ROLLBACK",
        ],
        &rows,
        out.data,
    ));
    if page.next.is_some() {
        out.say("These are the first 100; GET /api/v1/applications lists all.");
    }
    Ok(Exit::Reached)
}

impl Known {
    fn present(&self) -> Option<&ReleaseAnswer> {
        self.releases
            .iter()
            .find(|release| release.present == Some(true))
    }

    fn good(&self) -> Option<&ReleaseAnswer> {
        self.releases
            .iter()
            .find(|release| release.last_known_good == Some(true))
    }

    /// Components without a container: what the others run is not what the application runs.
    fn missing(&self) -> Vec<&Blocker> {
        let each = self
            .releases
            .iter()
            .filter_map(|release| release.blockers.as_ref());
        let mut missing: Vec<&Blocker> = Vec::new();
        for blocker in each.flatten() {
            if blocker.code == BlockerCode::ComponentAbsent && !missing.contains(&blocker) {
                missing.push(blocker);
            }
        }
        missing
    }

    fn runs(&self) -> Cell {
        let present = self.present().map(|release| release.version.as_str());
        match (&self.returned, present) {
            (None, Some(version)) if !self.missing().is_empty() => {
                Cell::toned(format!("{version} (NOT ALL)"), Tone::Bad)
            }
            (Some(_), Some(version)) => Cell::toned(format!("{version} (HELD)"), Tone::Bad),
            (Some(_), None) | (None, _) => Cell::or_dash(present),
        }
    }

    fn row(&self) -> [Cell; 5] {
        let rollback = self
            .rollback
            .as_ref()
            .filter(|rollback| rollback.phase != PhaseWord::Ended);
        [
            self.application.name.as_str().into(),
            self.application.environment.as_str().into(),
            self.runs(),
            Cell::or_dash(self.good().map(|release| release.version.as_str())),
            rollback.map_or_else(
                || Cell::or_dash(None::<&str>),
                |rollback| {
                    Cell::toned(
                        format!(
                            "{} to {} ({})",
                            rollback.phase.word(),
                            rollback.to,
                            rollback.id
                        ),
                        Tone::Busy,
                    )
                },
            ),
        ]
    }
}

fn text(known: &Known, paint: Paint) -> String {
    let application = &known.application;
    let mut lines = vec![paint.strong(&format!(
        "{} in {}",
        application.name, application.environment
    ))];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<16} {text}"));
    let names: Vec<&str> = application
        .components
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    row(
        "components",
        format!(
            "{} on engine {}",
            names.join(", "),
            one_line(&application.engine)
        ),
    );
    row(
        "runs",
        known.present().map_or_else(
            || "a version that the ledger does not know".to_owned(),
            runs,
        ),
    );
    for missing in known.missing() {
        let (what, next) = (one_line(&missing.sentence), one_line(&missing.next_action));
        row("MISSING", paint.warn(&format!("{what}: {next}")));
    }
    if let Some(found) = &known.returned {
        let when = date(found.seen_at);
        let words = format!(
            "{} is held and came back {when}: {}",
            found.version,
            one_line(&found.said)
        );
        row("RETURNED", paint.warn(&words));
    }
    row(
        "last known good",
        known.good().map_or_else(|| none(known, paint), good),
    );
    for release in known
        .releases
        .iter()
        .filter(|release| release.hold.is_some())
    {
        let why = release.hold.as_deref().unwrap_or_default();
        row(
            "held",
            paint.warn(&format!("{}: {}", release.version, one_line(why))),
        );
    }
    if let Some(rollback) = &known.rollback {
        row("last rollback", rollback_words(rollback));
    }
    for pin in &known.pinned {
        row("pinned", pin.clone());
    }
    lines.join("\n")
}

fn pins(rollback: &RollbackAnswer) -> Vec<String> {
    let pin = |pin| watch::pinned(rollback, pin);
    rollback.pins.iter().map(pin).collect()
}

/// What runs is never where a rollback goes to, however good it is.
fn none(known: &Known, paint: Paint) -> String {
    if known
        .present()
        .is_some_and(|release| release.good_at.is_some())
    {
        return "none but what runs".to_owned();
    }
    paint.warn("none that could come back")
}

fn runs(release: &ReleaseAnswer) -> String {
    let why = || {
        let said = release.said.as_deref();
        said.map_or(String::new(), |said| format!(": {}", one_line(said)))
    };
    let proved = match (release.state, release.good_at) {
        (Some(StateWord::Bad), _) => format!("BAD{}", why()),
        (Some(StateWord::Resolving), None) => format!("its images are being looked up{}", why()),
        (Some(StateWord::Watching), None) => format!("in its watch window{}", why()),
        (_, Some(at)) => format!("proved good {}", date(at)),
        (Some(StateWord::Unproved), None) => format!("never proved good{}", why()),
        (Some(StateWord::Good | StateWord::Refused) | None, None) => "not proved good".to_owned(),
    };
    format!(
        "{}, deployed {}, {proved}",
        release.version,
        date(release.deployed_at)
    )
}

fn good(release: &ReleaseAnswer) -> String {
    let proved = release
        .good_at
        .map_or(String::new(), |at| format!(", proved {}", date(at)));
    let ready = match release.blockers.as_deref() {
        None => String::new(),
        Some([]) => ", ready".to_owned(),
        Some([first, ..]) => format!(", NOT ready: {}", one_line(&first.sentence)),
    };
    format!("{}{proved}{ready}", release.version)
}

fn rollback_words(rollback: &RollbackItem) -> String {
    let how = match (rollback.verdict, &rollback.cause) {
        (None, _) => format!(
            "{}; follow it with `sternway watch {}`",
            rollback.phase.word(),
            rollback.id
        ),
        (Some(_), Some(cause)) => format!("{}: {}", verdict(rollback), one_line(&cause.sentence)),
        (Some(_), None) => verdict(rollback),
    };
    format!("to {}, {}, {how}", rollback.to, date(rollback.requested_at))
}

fn verdict(rollback: &RollbackItem) -> String {
    let value = serde_json::to_value(rollback.verdict).unwrap_or_default();
    value.as_str().unwrap_or("ended").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_runs_and_what_could_come_back() {
        let releases: Vec<ReleaseAnswer> = serde_json::from_value(serde_json::json!([
            {"version": "1.5.0", "deployment": uuid::Uuid::nil(), "deployed_at": "2026-11-22T08:00:00Z", "components": {},
             "state": "bad", "said": "GET / of api: 500, wanted 200",
             "present": true, "last_known_good": false, "blockers": []},
            {"version": "1.4.2", "deployment": uuid::Uuid::nil(), "deployed_at": "2026-11-21T08:00:00Z", "components": {},
             "good_at": "2026-11-21T08:15:00Z", "present": false, "last_known_good": true, "blockers": []},
            {"version": "1.4.1", "deployment": uuid::Uuid::nil(), "deployed_at": "2026-11-20T08:00:00Z", "components": {},
             "hold": "loses orders", "present": false, "last_known_good": false, "blockers": []}
        ]))
        .unwrap();
        let rollback: RollbackItem = serde_json::from_value(serde_json::json!({
            "id": "0199c0de-7a11-7000-8000-000000000001", "application": "shop", "to": "1.4.2", "phase": "ended", "verdict": "restored",
            "cause": {"code": "proof_failed", "sentence": "not proved"}, "requested_by": "ana", "reason": "critical_bug",
            "requested_at": "2026-11-22T08:20:31Z", "plan_digest": "ab".repeat(32)
        }))
        .unwrap();
        let application: Application = serde_json::from_value(serde_json::json!({
            "name": "shop", "environment": "production", "project": "shop", "components": [{"name": "api"}, {"name": "worker"}]
        }))
        .unwrap();
        let known = Known {
            application,
            releases,
            rollback: Some(rollback),
            pinned: vec!["VERSION=1.4.2 in /srv/shop/.env".to_owned()],
            returned: None,
        };
        assert_eq!(
            text(&known, Paint::default()),
            "shop in production\n\
             \x20 components       api, worker on engine local\n\
             \x20 runs             1.5.0, deployed 2026-11-22 08:00:00Z, BAD: GET / of api: 500, wanted 200\n\
             \x20 last known good  1.4.2, proved 2026-11-21 08:15:00Z, ready\n\
             \x20 held             1.4.1: loses orders\n\
             \x20 last rollback    to 1.4.2, 2026-11-22 08:20:31Z, restored: not proved\n\
             \x20 pinned           VERSION=1.4.2 in /srv/shop/.env"
        );
        assert_eq!(
            table::render(["A", "E", "R", "G", "X"], &[known.row()], Paint::default())
                .lines()
                .nth(1)
                .unwrap(),
            "shop  production  1.5.0  1.4.2  –"
        );
    }
}
