//! `rollback` and `undo`: plan, show, ask, request, follow. The plan that was shown is the plan that is done: its digest
//! goes with the request, and the server refuses if the world has moved since.

use std::time::Duration;

use domain::{
    checklist::CheckCode,
    name::{ApplicationName, RollbackId},
    reason::Reason,
    target::Target,
};
use uuid::Uuid;

use super::{
    args::{RequestArgs, RollbackArgs, StrategyArgs, UndoArgs, Until},
    plan, versions, watch,
};
use crate::{
    client::{
        Client, Conditions, Reply,
        answers::{
            Listing, PhaseWord, PlanAnswer, RollbackAnswer, RollbackItem, RollbackRequest,
            VerdictWord,
        },
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
    ask_and_follow(
        &args.application,
        target,
        args.strategy,
        &args.request,
        client,
        out,
    )
    .await
}

/// `undo`: a rollback to what served before another one, of the newest when none is named.
///
/// # Errors
/// When there is none, and what the server says no with.
pub async fn undo(args: &UndoArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let rollback = match args.rollback {
        Some(id) => id,
        None => newest(&args.application, client).await?,
    };
    ask_and_follow(
        &args.application,
        Target::Undo(RollbackId(rollback)),
        StrategyArgs::default(),
        &args.request,
        client,
        out,
    )
    .await
}

/// The newest rollback that put its target in service.
async fn newest(application: &ApplicationName, client: &Client) -> Result<Uuid, Failure> {
    let path = format!(
        "/api/v1/rollbacks?application={}&limit=100",
        segment(application.as_str())
    );
    let listed: Listing<RollbackItem> = client.get(&path).await?.read()?;
    let done = |item: &&RollbackItem| {
        item.phase == PhaseWord::Watching || item.verdict == Some(VerdictWord::RolledBack)
    };
    let newest = listed.items.iter().find(done);
    newest.map(|item| item.id.0).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!(
                "no rollback of {application} put its target in service: there is nothing to undo"
            ),
            &[&format!("sternway history {application}")],
        )
    })
}

async fn ask_and_follow(
    application: &ApplicationName,
    target: Target,
    strategy: StrategyArgs,
    args: &RequestArgs,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    let reason = reason(args, out)?;
    let reply = plan::make(client, application, target, strategy).await?;
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
    let because = Because {
        reason,
        note: args.note.as_deref(),
        ticked: &args.tick,
        break_glass: args.break_glass.as_deref(),
    };
    let reply = request(client, &plan, &because).await?;
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

fn reason(args: &RequestArgs, out: &Out) -> Result<Reason, Failure> {
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
    args: &RequestArgs,
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

/// Why, and what of the checklist was done.
#[derive(Clone, Copy, Debug)]
pub struct Because<'a> {
    /// Why, as the runbook names it.
    pub reason: Reason,
    /// Why, in words.
    pub note: Option<&'a str>,
    /// What of the checklist was done.
    pub ticked: &'a [CheckCode],
    /// Why it starts without approval.
    pub break_glass: Option<&'a str>,
}

/// Requests it, under a key of its own: asked again after a lost answer it is the same rollback.
///
/// # Errors
/// What the server says no with.
pub async fn request(
    client: &Client,
    plan: &PlanAnswer,
    because: &Because<'_>,
) -> Result<Reply, Failure> {
    let key = Uuid::now_v7().to_string();
    let body = RollbackRequest {
        plan_digest: plan.digest.clone(),
        reason: because.reason,
        note: because.note.map(str::to_owned),
        ticked: because.ticked.to_vec(),
        break_glass: because.break_glass.map(str::to_owned),
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
        Target::Undo(rollback) => format!("what served before rollback {rollback}"),
    }
}
