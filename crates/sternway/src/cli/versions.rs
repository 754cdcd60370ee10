//! `versions`: what could come back.

use domain::{name::ApplicationName, readiness::ReadinessCode};
use serde_json::Value;

use super::{
    args::ApplicationArgs,
    table::{self, Cell, Tone},
};
use crate::{
    client::{
        Client, Reply,
        answers::{ReleaseAnswer, ReleasesAnswer, StateWord},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint},
    progress::words::date,
};

/// `versions`.
///
/// # Errors
/// What the server says no with.
pub async fn run(args: &ApplicationArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let (raw, text) = look(client, &args.application, args.limit.into(), out).await?;
    if out.json {
        out.object(&raw);
    } else {
        out.data(&text);
    }
    Ok(Exit::Reached)
}

/// The versions of an application, as JSON and as text.
///
/// # Errors
/// What the server says no with.
pub async fn look(
    client: &Client,
    application: &ApplicationName,
    limit: usize,
    out: &Out,
) -> Result<(Value, String), Failure> {
    let reply = releases(client, application, out).await?;
    let mut answer: ReleasesAnswer = reply.read()?;
    if answer.items.is_empty() {
        out.say(&format!(
            "The ledger of {application} is empty. CI fills it: sternway record-deploy {application} --version V --image COMPONENT=REFERENCE"
        ));
    }
    answer.items.truncate(limit);
    Ok((reply.raw, text(&answer.items, out.data)))
}

/// The releases with their readiness; without it when the engine can not be asked.
///
/// # Errors
/// What the server says no with.
pub async fn releases(
    client: &Client,
    application: &ApplicationName,
    out: &Out,
) -> Result<Reply, Failure> {
    let path = format!(
        "/api/v1/applications/{}/releases",
        segment(application.as_str())
    );
    match client.get(&format!("{path}?readiness=true")).await {
        Err(failure) if failure.problem.code.as_deref() == Some("engine_unreachable") => {
            let why = failure
                .problem
                .detail
                .as_deref()
                .unwrap_or("the engine does not answer");
            out.say(&format!(
                "{} {why}; what is shown is from the ledger alone",
                out.talk.warn("warning:")
            ));
            client.get(&path).await
        }
        other => other,
    }
}

fn text(releases: &[ReleaseAnswer], paint: Paint) -> String {
    let rows: Vec<[Cell; 5]> = releases
        .iter()
        .map(|release| {
            [
                release.version.as_str().into(),
                date(release.deployed_at).into(),
                Cell::or_dash(release.good_at.map(date)),
                kept(release),
                readiness(release),
            ]
        })
        .collect();
    table::render(
        [
            "VERSION",
            "DEPLOYED",
            "PROVED GOOD",
            "KEPT",
            "COULD IT COME BACK",
        ],
        &rows,
        paint,
    )
}

/// Whether it is kept as a way back, and how that looked the last time, without anybody asking.
fn kept(release: &ReleaseAnswer) -> Cell {
    let Some(readiness) = &release.readiness else {
        return Cell::or_dash(None::<&str>);
    };
    if readiness.broken {
        return Cell::toned("BROKEN", Tone::Bad);
    }
    if readiness.retained.is_empty() {
        return Cell::toned("no", Tone::Warn);
    }
    match readiness.code {
        ReadinessCode::Ready => Cell::toned("yes", Tone::Good),
        ReadinessCode::SecondCopy => Cell::toned("second copy", Tone::Warn),
        ReadinessCode::Pullable => Cell::toned("registry", Tone::Warn),
        ReadinessCode::Rebuildable => Cell::toned("from its tag", Tone::Warn),
        ReadinessCode::Unknown => Cell::toned("not known", Tone::Warn),
        ReadinessCode::SpecificationLost => Cell::toned("without settings", Tone::Warn),
        ReadinessCode::SurroundingsGone => Cell::toned("network or volume gone", Tone::Bad),
        ReadinessCode::Gone => Cell::toned("gone", Tone::Bad),
    }
}

fn readiness(release: &ReleaseAnswer) -> Cell {
    if release.present == Some(true) {
        return Cell::toned("it runs now", Tone::Busy);
    }
    if let Some(why) = &release.insecure {
        return Cell::toned(format!("no, insecure: {why}"), Tone::Bad);
    }
    if let Some(why) = &release.hold {
        return Cell::toned(format!("no, held: {why}"), Tone::Warn);
    }
    match release.blockers.as_deref() {
        None => Cell::toned("not known: the engine could not be asked", Tone::Warn),
        Some([]) if release.last_known_good == Some(true) => {
            Cell::toned("ready, last known good", Tone::Good)
        }
        Some([]) if release.good_at.is_some() => Cell::toned("ready", Tone::Good),
        Some([]) => unproved(release),
        Some([first, rest @ ..]) => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" (and {} more)", rest.len())
            };
            Cell::toned(format!("no: {}{more}", first.sentence), Tone::Bad)
        }
    }
}

/// It could come back, and nothing says that it should.
fn unproved(release: &ReleaseAnswer) -> Cell {
    let why = release.said.as_deref().unwrap_or_default();
    match release.state {
        Some(StateWord::Bad) => Cell::toned(format!("ready, but it was BAD: {why}"), Tone::Bad),
        Some(StateWord::Watching | StateWord::Resolving) => {
            Cell::toned("ready, but its watch window is not over", Tone::Warn)
        }
        Some(StateWord::Unproved) if !why.is_empty() => {
            Cell::toned(format!("ready, but never proved good: {why}"), Tone::Warn)
        }
        Some(StateWord::Unproved | StateWord::Good | StateWord::Refused) | None => {
            Cell::toned("ready, but never proved good", Tone::Warn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_says_whether_it_could_come_back() {
        let release = |change: Value| -> ReleaseAnswer {
            let mut value = serde_json::json!({
                "version": "1.4.2", "deployment": uuid::Uuid::nil(), "deployed_at": "2026-11-21T08:00:00Z", "components": {}
            });
            for (name, member) in change.as_object().unwrap() {
                value[name] = member.clone();
            }
            serde_json::from_value(value).unwrap()
        };
        let blocker = serde_json::json!({"code": "image_missing", "sentence": "image x is not on the engine", "next_action": "load it"});
        let good = "2026-11-21T09:00:00Z";
        let kept = |code: &str, retained: &[&str], broken: bool| {
            serde_json::json!({"code": code, "sentence": "s", "retained": retained, "broken": broken,
                               "since": good, "checked_at": good})
        };
        let rows = [
            release(serde_json::json!({"version": "1.5.0", "present": true, "blockers": []})),
            release(
                serde_json::json!({"good_at": good, "last_known_good": true, "blockers": [],
                                        "readiness": kept("ready", &["good"], false)}),
            ),
            release(serde_json::json!({"version": "1.4.1", "blockers": [],
                                        "readiness": kept("ready", &[], false)})),
            release(
                serde_json::json!({"version": "1.4.1-b", "blockers": [], "state": "bad", "said": "GET / of api: 500"}),
            ),
            release(
                serde_json::json!({"version": "1.4.1-a", "blockers": [], "state": "unproved", "said": "another took its place"}),
            ),
            release(
                serde_json::json!({"version": "1.4.0", "hold": "loses orders", "blockers": [blocker]}),
            ),
            release(
                serde_json::json!({"version": "1.3.0", "blockers": [blocker, blocker],
                                        "readiness": kept("gone", &["good"], true)}),
            ),
            release(serde_json::json!({"version": "1.2.0"})),
        ];
        assert_eq!(
            text(&rows, Paint::default()),
            "VERSION  DEPLOYED              PROVED GOOD           KEPT    COULD IT COME BACK\n\
             1.5.0    2026-11-21 08:00:00Z  –                     –       it runs now\n\
             1.4.2    2026-11-21 08:00:00Z  2026-11-21 09:00:00Z  yes     ready, last known good\n\
             1.4.1    2026-11-21 08:00:00Z  –                     no      ready, but never proved good\n\
             1.4.1-b  2026-11-21 08:00:00Z  –                     –       ready, but it was BAD: GET / of api: 500\n\
             1.4.1-a  2026-11-21 08:00:00Z  –                     –       ready, but never proved good: another took its place\n\
             1.4.0    2026-11-21 08:00:00Z  –                     –       no, held: loses orders\n\
             1.3.0    2026-11-21 08:00:00Z  –                     BROKEN  no: image x is not on the engine (and 1 more)\n\
             1.2.0    2026-11-21 08:00:00Z  –                     –       not known: the engine could not be asked"
        );
    }
}
