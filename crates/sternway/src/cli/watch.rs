//! Commands about one rollback: `watch`, `cancel`, `approve`, `reject`, and the waiting that `rollback` does.

use std::time::Duration;

use domain::{name::RollbackId, verdict::Verdict};
use reqwest::Method;

use super::args::{RunArgs, Until, WatchArgs};
use crate::{
    client::{
        Client, Conditions,
        answers::{
            ApprovalRequest, Decision, PhaseWord, PinAnswer, PlanAnswer, RollbackAnswer,
            whole_verdict,
        },
        problem::Failure,
    },
    exit::Exit,
    out::{Out, Paint, one_line},
    progress::{
        View,
        follow::{Ending, Follower},
        tree::Tree,
        words::{clock, date},
    },
};

/// How long, and for what, to wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// Until when.
    pub until: Until,
    /// Whether to wait for an approval as well.
    pub patient: bool,
    /// At most so long.
    pub timeout: Option<Duration>,
}

/// `watch`.
///
/// # Errors
/// What the server says no with.
pub async fn run(args: &WatchArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let rollback: RollbackAnswer = client.get(&path(RollbackId(args.id))).await?.read()?;
    let plan: PlanAnswer = client
        .get(&format!("/api/v1/plans/{}", rollback.plan_digest))
        .await?
        .read()?;
    let titles = plan.steps.into_iter().map(|step| step.title).collect();
    let timeout = args
        .timeout
        .map(|seconds| Duration::from_secs(seconds.into()));
    wait(
        client,
        out,
        &rollback,
        titles,
        Wait {
            until: args.until,
            patient: true,
            timeout,
        },
    )
    .await
}

/// `cancel`.
///
/// # Errors
/// What the server says no with.
pub async fn cancel(args: &RunArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let path = format!("{}/cancel", path(RollbackId(args.id)));
    let reply = client
        .send(Method::POST, &path, None::<&()>, Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
    } else {
        out.data(&format!(
            "asked to cancel rollback {}: it stops at its next safe point",
            args.id
        ));
    }
    out.say(&format!("what comes of it: sternway watch {}", args.id));
    Ok(Exit::Reached)
}

/// `approve` and `reject`. The decision names the plan that was shown here.
///
/// # Errors
/// What the server says no with.
pub async fn decide(
    args: &RunArgs,
    decision: Decision,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    let rollback: RollbackAnswer = client.get(&path(RollbackId(args.id))).await?.read()?;
    let body = ApprovalRequest {
        decision,
        plan_digest: rollback.plan_digest.clone(),
    };
    let reply = client
        .post(
            &format!("{}/approval", path(rollback.id)),
            &body,
            Conditions::default(),
        )
        .await?;
    if out.json {
        out.object(&reply.raw);
    } else {
        let word = match decision {
            Decision::Approve => "approved",
            Decision::Reject => "rejected",
        };
        out.data(&format!(
            "{word} rollback {} ({})",
            rollback.id,
            move_words(&rollback)
        ));
    }
    out.say(&format!("what comes of it: sternway watch {}", rollback.id));
    Ok(Exit::Reached)
}

/// Follows a rollback, then prints how it stands.
///
/// # Errors
/// What the server says no with, and a server that is away for minutes.
pub async fn wait(
    client: &Client,
    out: &Out,
    rollback: &RollbackAnswer,
    titles: Vec<String>,
    wait: Wait,
) -> Result<Exit, Failure> {
    let header = format!("Rollback {} of {}", rollback.id, move_words(rollback));
    let mut view = View::new(*out, Tree::new(header, titles));
    let mut follower = Follower::new(client, rollback.id, wait.until, wait.patient);
    let ended = tokio::select! {
        ended = follower.follow(&mut view) => Some(ended?),
        exit = left(wait.timeout) => {
            view.close();
            return Ok(detach(client, out, rollback.id, exit).await);
        }
    };
    view.close();
    let reply = client.get(&path(rollback.id)).await?;
    let answer: RollbackAnswer = reply.read()?;
    if out.json {
        out.object(&reply.raw);
    } else {
        out.data(&summary(&answer, out.data));
    }
    Ok(exit(&answer, ended))
}

/// Ctrl-C, or the time is up.
async fn left(timeout: Option<Duration>) -> Exit {
    let time_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Exit::Detached,
        () = time_up => Exit::TimedOut,
    }
}

/// Leaves a rollback to itself.
async fn detach(client: &Client, out: &Out, id: RollbackId, exit: Exit) -> Exit {
    let asked = tokio::time::timeout(Duration::from_secs(2), client.get(&path(id))).await;
    let answer = asked
        .ok()
        .and_then(Result::ok)
        .and_then(|reply| Some((reply.read::<RollbackAnswer>().ok()?, reply.raw)));
    let waits = answer
        .as_ref()
        .is_some_and(|(answer, _)| answer.phase == PhaseWord::AwaitingApproval);
    if out.json {
        match answer {
            Some((_, raw)) => out.object(&raw),
            None => out.object(&serde_json::json!({ "id": id })),
        }
    }
    out.say(&how_to_go_on(id));
    if waits && exit == Exit::TimedOut {
        Exit::WaitsForApproval
    } else {
        exit
    }
}

/// What a person needs who leaves a rollback to itself.
#[must_use]
pub fn how_to_go_on(id: RollbackId) -> String {
    format!(
        "Rollback {id} goes on by itself.\n  follow it:    sternway watch {id}\n  call it off:  sternway cancel {id}"
    )
}

fn exit(answer: &RollbackAnswer, ended: Option<Ending>) -> Exit {
    match (whole_verdict(answer), ended) {
        (Some(verdict), _) => Exit::of_verdict(&verdict),
        (None, Some(Ending::AwaitsApproval)) => Exit::WaitsForApproval,
        (None, _) if answer.phase == PhaseWord::Watching => Exit::Reached,
        (None, _) => Exit::NotVerified,
    }
}

/// Where a rollback is.
#[must_use]
pub fn path(id: RollbackId) -> String {
    format!("/api/v1/rollbacks/{id}")
}

/// `shop: 1.5.0 → 1.4.2`.
#[must_use]
pub fn move_words(rollback: &RollbackAnswer) -> String {
    let from = rollback
        .from
        .as_ref()
        .map_or("an unknown version", |from| from.as_str());
    format!("{}: {from} → {}", rollback.application, rollback.to)
}

/// How a rollback stands, for a person.
#[must_use]
pub fn summary(rollback: &RollbackAnswer, paint: Paint) -> String {
    let mut lines = vec![headline(rollback, paint)];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
    let note = rollback
        .note
        .as_deref()
        .map_or(String::new(), |note| format!(": {}", one_line(note)));
    row(
        "asked",
        format!(
            "{} by {}, {}{note}",
            date(rollback.requested_at),
            one_line(rollback.requested_by.as_str()),
            rollback.reason.word()
        ),
    );
    if let Some(proved) = rollback.proved_at {
        row(
            "proved",
            format!("{} after the request", proved.since(rollback.requested_at)),
        );
    }
    if let Some(ms) = rollback.downtime_ms {
        row("downtime", format!("{} at most", domain::time::Millis(ms)));
    }
    if let Some(until) = rollback.until {
        let what = if rollback.phase == PhaseWord::Watching {
            "its probes must stay green until"
        } else {
            "it waits until"
        };
        row("until", format!("{what} {}", clock(until)));
    }
    if let Some(ended) = rollback.ended_at {
        row("ended", date(ended));
    }
    if let Some(production) = &rollback.production {
        row("production", one_line(production));
    }
    for pin in &rollback.pins {
        row("pinned", pinned(rollback, pin));
    }
    for note in &rollback.notes {
        row("note", one_line(note));
    }
    let head = rollback
        .log
        .head
        .get(..12)
        .unwrap_or(&rollback.log.head)
        .to_owned();
    row(
        "log",
        format!(
            "{} events, head {head}; rollback {}",
            rollback.log.seq, rollback.id
        ),
    );
    for action in &rollback.next_actions {
        let request = action.method.as_deref().zip(action.path.as_deref());
        let request = request.map(|(method, path)| format!("{method} {path}"));
        let how = action.command.clone().or(request);
        let how = how.map_or(String::new(), |how| format!(" ({})", one_line(&how)));
        row("next", format!("{}{how}", one_line(&action.sentence)));
    }
    lines.join("\n")
}

/// What a rollback wrote into a file, and what becomes of it, or became.
#[must_use]
pub fn pinned(rollback: &RollbackAnswer, pin: &PinAnswer) -> String {
    let path = one_line(&pin.path);
    match &pin.said {
        Some(said) if !pin.left_to_person => {
            let at = pin.settled_at.map_or(String::new(), date);
            return format!("the hold was released {at}: {}", one_line(said));
        }
        Some(said) => return one_line(said),
        None if pin.left_to_person => return left_to_a_person(pin),
        None => {}
    }
    let held = rollback
        .from
        .as_ref()
        .map_or("what it held", |from| from.as_str());
    let written = pin.written.as_deref().map(one_line);
    let former = pin.former.as_deref().map(one_line);
    let Some(variable) = &pin.variable else {
        let written = written.unwrap_or_else(|| "nothing".to_owned());
        let former = former.map_or_else(
            || "removes it".to_owned(),
            |former| format!("puts {former} back"),
        );
        return format!("{written} in {path}; releasing the hold of {held} {former}");
    };
    let written = written.unwrap_or_default();
    let former = former.map_or_else(
        || format!("takes {variable} out of it"),
        |former| format!("puts {variable}={former} back"),
    );
    format!("{variable}={written} in {path}; releasing the hold of {held} {former}")
}

/// No hold stands for it, so no release of one puts it back.
fn left_to_a_person(pin: &PinAnswer) -> String {
    let path = one_line(&pin.path);
    let said = |value: &Option<String>| match (value, &pin.variable) {
        (Some(value), Some(variable)) => format!("{variable}={}", one_line(value)),
        (Some(value), None) => one_line(value),
        (None, _) => "nothing".to_owned(),
    };
    format!(
        "{} in {path}, which said {} before: the rollback left it to a person, and the next `up` goes by it",
        said(&pin.written),
        said(&pin.former)
    )
}

fn headline(rollback: &RollbackAnswer, paint: Paint) -> String {
    let (name, to) = (&rollback.application, &rollback.to);
    let cause = rollback.cause.as_ref().map_or(String::new(), |cause| {
        format!(": {}", one_line(&cause.sentence))
    });
    let was = rollback
        .from
        .as_ref()
        .map_or(String::new(), |from| format!(" (it ran {from})"));
    match whole_verdict(rollback) {
        Some(Verdict::RolledBack { good, .. }) => {
            let good = if good {
                " and green for its whole watch window"
            } else {
                "; its watch window was not completed"
            };
            format!(
                "{} {name} serves {to}, proved on every replica{good}{was}",
                paint.good("✓ rolled_back")
            )
        }
        Some(Verdict::Restored { .. }) => {
            format!(
                "{} what served before serves again{cause}",
                paint.warn("↩ restored")
            )
        }
        Some(Verdict::Refused { .. }) => {
            format!("{} it changed nothing{cause}", paint.bad("✗ refused"))
        }
        Some(Verdict::Cancelled { .. }) => {
            format!(
                "{} what served before serves{cause}",
                paint.warn("– cancelled")
            )
        }
        Some(Verdict::NeedsHuman { .. }) => {
            format!("{} a person has to look{cause}", paint.bad("✗ needs_human"))
        }
        None => match rollback.phase {
            PhaseWord::Watching => format!(
                "{} {name} serves {to}, proved on every replica{was}",
                paint.good("✓ proved")
            ),
            PhaseWord::AwaitingApproval => {
                format!(
                    "{} rollback of {} waits for another person: sternway approve {}",
                    paint.busy("… awaiting_approval"),
                    move_words(rollback),
                    rollback.id
                )
            }
            PhaseWord::Forward | PhaseWord::Backward | PhaseWord::Ended => {
                format!(
                    "{} {}{cause}",
                    paint.busy(&format!("… {}", rollback.phase.word())),
                    move_words(rollback)
                )
            }
        },
    }
}

#[cfg(test)]
mod tests;
