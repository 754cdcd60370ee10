//! The end of the demo on one screen: what was measured, where it is written, how to look further.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use domain::time::Millis;
use serde_json::{Value, json};

use super::{
    story::{BAD, GOOD},
    traffic::Counts,
};
use crate::{
    client::answers::RollbackAnswer,
    out::{Out, Paint, one_line},
};

/// What happened, as measured from outside.
#[derive(Clone, Debug)]
pub struct Story {
    /// When the rollback was asked for.
    pub asked: Instant,
    /// How long the answer to the request took.
    pub accepted_after: Duration,
    /// From the request to the first good answer that a client got.
    pub first_good: Option<Duration>,
    /// The longest time without any answer.
    pub outage: Duration,
    /// What a client got from the bad version.
    pub before: Counts,
    /// What a client got from the first good answer on.
    pub after: Counts,
    /// The rollback at its end.
    pub rollback: RollbackAnswer,
}

/// Where what was left running is.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The server's address.
    pub url: String,
    /// Its state folder.
    pub state: PathBuf,
    /// The file with a token.
    pub token: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

/// Prints the summary.
pub fn print(story: &Story, kept: Option<&Kept>, out: &Out) {
    if out.json {
        out.object(&object(story, kept));
        return;
    }
    out.data(&format!("\n{}", text(story, kept.is_some(), out.data)));
    match kept {
        Some(kept) => out.data(&kept_text(kept, story, out.data)),
        None => out.data("  look further  run it again with --keep: everything is left running, with a server to ask"),
    }
}

fn ms(duration: Duration) -> String {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).to_string()
}

/// From the request to the proof, by the server's clock.
fn proof(story: &Story) -> Option<Millis> {
    story
        .rollback
        .proved_at
        .map(|at| at.since(story.rollback.requested_at))
}

/// What can be asked of a server is only said where one was left running.
fn text(story: &Story, kept: bool, paint: Paint) -> String {
    let rollback = &story.rollback;
    let name = &rollback.application;
    let all = story.before.good + story.before.bad + story.before.nothing;
    let mut lines = vec![paint.good(&format!(
        "✓ {name} serves {GOOD} again: rolled back, proved, and good"
    ))];
    let mut row = |title: &str, text: String| lines.push(format!("  {title:<13} {text}"));
    row(
        "before",
        format!("{BAD}, {} of {all} requests failed", story.before.bad),
    );
    row(
        "now",
        format!(
            "{GOOD}, by its own version endpoint; {} good answers since, {} bad, {} lost",
            story.after.good, story.after.bad, story.after.nothing
        ),
    );
    row(
        "accepted",
        format!("{} after the request", ms(story.accepted_after)),
    );
    if let Some(after) = story.first_good {
        row(
            "first good",
            format!(
                "{} after the request a client had its first good answer",
                ms(after)
            ),
        );
    }
    if let Some(after) = proof(story) {
        row(
            "proof",
            format!("{after} after the request, on every replica"),
        );
    }
    row(
        "downtime",
        format!(
            "{} without any answer, for a client that asks every 20 ms",
            ms(story.outage)
        ),
    );
    row(
        "log",
        format!(
            "{} events, hash chain intact, head {}",
            rollback.log.seq,
            rollback.log.head.get(..12).unwrap_or_default()
        ),
    );
    if kept {
        row("ledger", format!("sternway history {name}"));
        row("", format!("GET /api/v1/applications/{name}/deployments"));
        row("rollback", format!("sternway watch {}", rollback.id));
        row("", format!("GET /api/v1/rollbacks/{}", rollback.id));
    }
    for note in &rollback.notes {
        row("note", one_line(note));
    }
    lines.join("\n")
}

fn kept_text(kept: &Kept, story: &Story, paint: Paint) -> String {
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "sternway".to_owned());
    let name = &story.rollback.application;
    format!(
        "\n{}\n  export STERNWAY_STATE_DIR={}    (this machine: no token needed)\n  \
         export STERNWAY_URL={} STERNWAY_TOKEN_FILE={}    (or over HTTP, as an operator)\n  \
         {program} status {name}; {program} versions {name}; {program} history {name}\n  \
         the server's log: {}\n  stop it: {program} demo --stop",
        paint.strong("It is left running:"),
        kept.state.display(),
        kept.url,
        kept.token.display(),
        kept.log.display(),
    )
}

fn object(story: &Story, kept: Option<&Kept>) -> Value {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let counts =
        |counts: &Counts| json!({ "good": counts.good, "bad": counts.bad, "lost": counts.nothing });
    json!({
        "application": story.rollback.application,
        "from": BAD,
        "to": GOOD,
        "rollback": story.rollback,
        "accepted_ms": millis(story.accepted_after),
        "first_good_ms": story.first_good.map(millis),
        "proof_ms": proof(story),
        "downtime_ms": millis(story.outage),
        "before": counts(&story.before),
        "after": counts(&story.after),
        "kept": kept.map(|kept| json!({ "url": kept.url, "state_dir": kept.state, "token_file": kept.token, "log": kept.log })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> Story {
        let rollback = serde_json::from_value(json!({
            "id": "0199c0de-7a11-7000-8000-000000000001", "application": "sternway-demo", "from": "1.5.0", "to": "1.4.2",
            "phase": "ended", "verdict": "rolled_back", "good": true, "proved_at": "2026-11-22T08:20:32.900Z",
            "requested_by": "service:demo", "reason": "critical_bug", "requested_at": "2026-11-22T08:20:31Z",
            "plan_digest": "ab".repeat(32), "log": {"seq": 42, "head": "cd".repeat(32), "intact": true}
        }))
        .unwrap();
        Story {
            asked: Instant::now(),
            accepted_after: Duration::from_millis(14),
            first_good: Some(Duration::from_millis(1210)),
            outage: Duration::from_millis(310),
            before: Counts {
                good: 0,
                bad: 150,
                nothing: 0,
                status: Some(500),
            },
            after: Counts {
                good: 300,
                bad: 0,
                nothing: 0,
                status: None,
            },
            rollback,
        }
    }

    #[test]
    fn the_end_fits_one_screen_and_says_what_was_measured() {
        assert_eq!(
            text(&story(), true, Paint::default()),
            "✓ sternway-demo serves 1.4.2 again: rolled back, proved, and good\n\
             \x20 before        1.5.0, 150 of 150 requests failed\n\
             \x20 now           1.4.2, by its own version endpoint; 300 good answers since, 0 bad, 0 lost\n\
             \x20 accepted      14 ms after the request\n\
             \x20 first good    1.2 s after the request a client had its first good answer\n\
             \x20 proof         1.9 s after the request, on every replica\n\
             \x20 downtime      310 ms without any answer, for a client that asks every 20 ms\n\
             \x20 log           42 events, hash chain intact, head cdcdcdcdcdcd\n\
             \x20 ledger        sternway history sternway-demo\n\
             \x20               GET /api/v1/applications/sternway-demo/deployments\n\
             \x20 rollback      sternway watch 0199c0de-7a11-7000-8000-000000000001\n\
             \x20               GET /api/v1/rollbacks/0199c0de-7a11-7000-8000-000000000001"
        );
        let removed = text(&story(), false, Paint::default());
        assert!(
            !removed.contains("sternway ") && !removed.contains("GET /api"),
            "nobody is left to answer: {removed}"
        );
        assert_eq!(object(&story(), None)["proof_ms"], 1900);
    }

    #[test]
    fn what_is_kept_says_how_to_use_and_stop_it() {
        let kept = Kept {
            url: "http://127.0.0.1:1".to_owned(),
            state: "/s".into(),
            token: "/t".into(),
            log: "/l".into(),
        };
        let text = kept_text(&kept, &story(), Paint::default());
        assert!(
            text.contains("STERNWAY_STATE_DIR=/s") && text.contains("demo --stop"),
            "{text}"
        );
    }
}
