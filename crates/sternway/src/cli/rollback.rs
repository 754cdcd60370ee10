//! `rollback`: plan, show, ask, request, follow. The plan that was shown is the plan that is done: its digest
//! goes with the request, and the server refuses if the world has moved since.

use std::time::Duration;

use domain::{reason::Reason, target::Target};
use uuid::Uuid;

use super::{
    args::{RollbackArgs, Until},
    plan, versions, watch,
};
use crate::{
    client::{
        Client, Conditions, Reply,
        answers::{PhaseWord, PlanAnswer, RollbackAnswer, RollbackRequest},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::Out,
};

/// The command.
///
/// # Errors
/// What is missing on the command line, and what the server says no with.
pub async fn run(args: &RollbackArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let Some(target) = args.target.target() else {
        return targets(args, client, out).await;
    };
    let reason = reason(args, out)?;
    let reply = plan::make(client, &args.application, target, args.strategy).await?;
    let plan: PlanAnswer = reply.read()?;
    if plan.changes_nothing {
        if out.json {
            out.object(&reply.raw);
        } else {
            out.data(&plan::text(&plan, out.data));
        }
        return Ok(Exit::Reached);
    }
    out.say(&plan::text(&plan, out.talk));
    confirm(args, &plan, client, out).await?;
    let reply = request(client, &plan, reason, args.note.as_deref()).await?;
    let rollback: RollbackAnswer = reply.read()?;
    if args.detach {
        return Ok(detached(&reply, &rollback, out));
    }
    let wait = watch::Wait {
        until: Until::Proof,
        patient: false,
        timeout: args
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into())),
    };
    let titles = plan.steps.iter().map(|step| step.title.clone()).collect();
    watch::wait(client, out, &rollback, titles, wait).await
}

/// Without a target: which there are, and whether each could come back now.
async fn targets(args: &RollbackArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let (raw, text) = versions::look(client, &args.application, usize::MAX, out).await?;
    if out.json {
        out.object(&raw);
    } else {
        out.data(&text);
    }
    let name = &args.application;
    out.say(&format!(
        "Nothing was changed: name a target.\n  sternway rollback {name} --good        the last known good one\n  \
         sternway rollback {name} --previous    the one before\n  sternway rollback {name} --to VERSION  this one"
    ));
    Ok(Exit::Usage)
}

fn words() -> String {
    Reason::ALL.map(Reason::word).join(", ")
}

fn reason(args: &RollbackArgs, out: &Out) -> Result<Reason, Failure> {
    if let Some(reason) = args.reason {
        return Ok(reason);
    }
    let missing = || {
        Failure::new(
            Exit::Usage,
            format!("say why with --reason: one of {}", words()),
            &[],
        )
    };
    let answer = out
        .ask(&format!("Why? ({})", words()))
        .ok_or_else(missing)?;
    answer
        .parse()
        .map_err(|said: String| Failure::new(Exit::Usage, said, &[]))
}

async fn confirm(
    args: &RollbackArgs,
    plan: &PlanAnswer,
    client: &Client,
    out: &Out,
) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !out.asks {
        let what = "nobody can be asked here, since this is no terminal: give --yes to start without a question";
        return Err(Failure::new(Exit::Usage, what, &["nothing was changed"]));
    }
    let path = format!(
        "/api/v1/applications/{}",
        segment(plan.application.as_str())
    );
    let application: domain::application::Application = client.get(&path).await?.read()?;
    let question = format!(
        "Roll back {} in {} to {} now? [y/N]",
        plan.application, application.environment, plan.to
    );
    match out.ask(&question).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(
            Exit::Cancelled,
            "not confirmed; nothing was changed",
            &[],
        )),
    }
}

/// Requests it, under a key of its own: asked again after a lost answer it is the same rollback.
///
/// # Errors
/// What the server says no with.
pub async fn request(
    client: &Client,
    plan: &PlanAnswer,
    reason: Reason,
    note: Option<&str>,
) -> Result<Reply, Failure> {
    let key = Uuid::now_v7().to_string();
    let body = RollbackRequest {
        plan_digest: plan.digest.clone(),
        reason,
        note: note.map(str::to_owned),
    };
    let conditions = Conditions {
        idempotency_key: Some(&key),
        ..Conditions::default()
    };
    client.post("/api/v1/rollbacks", &body, conditions).await
}

fn detached(reply: &Reply, rollback: &RollbackAnswer, out: &Out) -> Exit {
    if out.json {
        out.object(&reply.raw);
    } else {
        out.data(&rollback.id.to_string());
    }
    out.say(&watch::how_to_go_on(rollback.id));
    if rollback.phase == PhaseWord::AwaitingApproval {
        Exit::WaitsForApproval
    } else {
        Exit::Reached
    }
}

/// The target in a few words.
#[must_use]
pub fn target_words(target: &Target) -> String {
    match target {
        Target::LastKnownGood => "the last known good version".to_owned(),
        Target::Previous => "the version before".to_owned(),
        Target::Version(version) => version.to_string(),
    }
}
