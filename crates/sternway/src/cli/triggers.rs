//! `triggers` and `messages`: what other systems may tell, and what came of it. A secret is read from a file and never
//! from a flag; one that is made goes to stdout once and is kept nowhere.

use std::{io::Read as _, path::Path};

use domain::{
    guard::Answer,
    name::TriggerName,
    trigger::{Kind, Mode, Settings, Trigger, route::Route, secret},
};
use reqwest::Method;
use serde::Serialize;

use super::{
    args::triggers::{
        MessagesArgs, TriggerAddArgs, TriggerExplainArgs, TriggerRotateArgs, TriggersCommand,
    },
    table::{self, Cell, Tone},
};
use crate::{
    client::{
        Client, Conditions, Reply,
        answers::{
            ExplainAnswer, ExplainRequest, Listing, MessageDecision, MessageOutcome, SecretRequest,
            SecretSetAnswer, TriggerAnswer,
        },
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint},
    progress::words::date,
};

#[cfg(test)]
mod tests;

/// The server takes 64 KiB to explain; a message or a definition that is longer than this is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The command.
///
/// # Errors
/// What the server says no with.
pub async fn run(command: &TriggersCommand, client: &Client, out: &Out) -> Result<Exit, Failure> {
    match command {
        TriggersCommand::List => list(client, out).await,
        TriggersCommand::Add(args) => add(args, client, out).await,
        TriggersCommand::Show { name } => show(name, client, out).await,
        TriggersCommand::Rotate(args) => rotate(args, client, out).await,
        TriggersCommand::Mode { name, mode } => set_mode(name, *mode, client, out).await,
        TriggersCommand::Remove { name } => remove(name, client, out).await,
        TriggersCommand::Explain(args) => explain(args, client, out).await,
    }
}

pub(super) fn path(name: &TriggerName) -> String {
    format!("/api/v1/triggers/{}", segment(name.as_str()))
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |error: std::io::Error| {
        let said = format!("{} can not be read: {error}", path.display());
        Failure::new(Exit::Usage, said, &[])
    };
    let mut text = String::new();
    let taken = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    taken.map_err(wrong)?;
    Ok(text)
}

fn secret_of(file: Option<&Path>) -> Result<Option<String>, Failure> {
    file.map(|file| read(file).map(|text| text.trim().to_owned()))
        .transpose()
}

fn defined(args: &TriggerAddArgs) -> Result<Trigger, Failure> {
    if let Some(file) = &args.file {
        let wrong = |error: toml::de::Error| {
            let said = format!("the definition is not understood: {}", error.message());
            Failure::new(Exit::Usage, said, &[])
        };
        let trigger: Trigger = toml::from_str(&read(file)?).map_err(wrong)?;
        if trigger.name != args.name {
            let said = format!(
                "the definition names the trigger `{}`, not `{}`",
                trigger.name, args.name
            );
            return Err(Failure::new(Exit::Usage, said, &[]));
        }
        return Ok(trigger);
    }
    let route = args.application.clone().map(|application| Route {
        application,
        service: args.service.clone(),
        labels: Default::default(),
        rule: None,
        images: Default::default(),
    });
    Ok(Trigger {
        name: args.name.clone(),
        // One of both is given.
        kind: args.kind.unwrap_or(Kind::Generic),
        mode: args.mode,
        trust: None,
        severities: Default::default(),
        routes: route.into_iter().collect(),
        settings: Settings::default(),
    })
}

async fn found(name: &TriggerName, client: &Client) -> Result<Option<Reply>, Failure> {
    match client.get(&path(name)).await {
        Ok(reply) => Ok(Some(reply)),
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn put(trigger: &Trigger, etag: Option<&str>, client: &Client) -> Result<Reply, Failure> {
    let conditions = Conditions {
        if_match: etag,
        ..Conditions::default()
    };
    let path = path(&trigger.name);
    client
        .send(Method::PUT, &path, Some(trigger), conditions)
        .await
}

async fn add(args: &TriggerAddArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let trigger = defined(args)?;
    let given = secret_of(args.secret_file.as_deref())?;
    let present = found(&args.name, client).await?;
    let etag = present.as_ref().and_then(|reply| reply.etag.as_deref());
    let stored: TriggerAnswer = put(&trigger, etag, client).await?.read()?;
    let none_yet = stored.secrets.is_empty();
    let makes = none_yet && !secret::is_the_senders(trigger.kind);
    if given.is_some() || makes {
        let body = SecretRequest {
            secret: given,
            former_hours: None,
        };
        return set_secret(&args.name, &body, client, out).await;
    }
    let said = added(&stored);
    if out.json {
        out.object(&said);
    } else {
        out.data(&stored.path);
        said.warnings.iter().for_each(|warning| out.say(warning));
    }
    Ok(Exit::Reached)
}

/// What the server answers, with what a person is told besides.
#[derive(Serialize)]
struct Added<'a> {
    #[serde(flatten)]
    stored: &'a TriggerAnswer,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn added(stored: &TriggerAnswer) -> Added<'_> {
    let trigger = &stored.trigger;
    let missing = stored.secrets.is_empty().then(|| {
        format!(
            "It has no secret yet, and until then every message is refused: put the one that {} shows into a file, \
             then `sternway triggers rotate {} --secret-file FILE`.",
            trigger.kind.word(),
            trigger.name
        )
    });
    Added {
        stored,
        warnings: missing.into_iter().collect(),
    }
}

async fn set_secret(
    name: &TriggerName,
    body: &SecretRequest,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    let path = format!("{}/secrets", path(name));
    let reply = client.post(&path, body, Conditions::default()).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let set: SecretSetAnswer = reply.read()?;
    match &set.secret {
        Some(secret) => {
            out.data(secret);
            out.say(&format!(
                "This is shown once. Give it to the sender, and have it post to {} at this server.",
                set.path
            ));
        }
        None => {
            out.data(&set.path);
            out.say("The sender posts there, at this server.");
        }
    }
    if let Some(until) = set.former_until {
        out.say(&format!("The former secret is good until {}.", date(until)));
    }
    Ok(Exit::Reached)
}

async fn rotate(args: &TriggerRotateArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let body = SecretRequest {
        secret: secret_of(args.secret_file.as_deref())?,
        former_hours: Some(args.former_hours),
    };
    set_secret(&args.name, &body, client, out).await
}

async fn set_mode(
    name: &TriggerName,
    mode: Mode,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    let reply = client.get(&path(name)).await?;
    let etag = reply.etag.clone();
    let present: TriggerAnswer = reply.read()?;
    let trigger = Trigger {
        mode,
        ..present.trigger
    };
    let reply = put(&trigger, etag.as_deref(), client).await?;
    if out.json {
        out.object(&reply.raw);
    } else {
        out.data(&format!("{name} is in mode {}", mode.word()));
    }
    Ok(Exit::Reached)
}

async fn remove(name: &TriggerName, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let etag = client.get(&path(name)).await?.etag;
    let conditions = Conditions {
        if_match: etag.as_deref(),
        ..Conditions::default()
    };
    client
        .send(Method::DELETE, &path(name), None::<&()>, conditions)
        .await?;
    if out.json {
        out.object(&serde_json::json!({ "trigger": name, "removed": true }));
    } else {
        out.data(&format!("{name} is removed"));
    }
    Ok(Exit::Reached)
}

async fn show(name: &TriggerName, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get(&path(name)).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let found: TriggerAnswer = reply.read()?;
    let text = toml::to_string(&found.trigger).map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("it can not be written as TOML: {error}"),
            &[],
        )
    })?;
    out.data(text.trim_end());
    out.say(&format!(
        "The sender posts to {} at this server.",
        found.path
    ));
    for secret in &found.secrets {
        let end = secret
            .ends_at
            .map(|at| format!(", good until {}", date(at)));
        let (at, by) = (date(secret.created_at), &secret.created_by);
        out.say(&format!(
            "A secret of {at}, set by {by}{}.",
            end.unwrap_or_default()
        ));
    }
    if found.secrets.is_empty() {
        out.say("It has no secret: every message is refused.");
    }
    Ok(Exit::Reached)
}

async fn list(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get("/api/v1/triggers?limit=100").await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<TriggerAnswer> = reply.read()?;
    let rows: Vec<[Cell; 5]> = page
        .items
        .iter()
        .map(|found| {
            let secret = match found.secrets.len() {
                0 => Cell::toned("none", Tone::Bad),
                1 => Cell::toned("set", Tone::Good),
                _ => Cell::toned("set, the former one still good", Tone::Warn),
            };
            [
                found.trigger.name.as_str().into(),
                found.trigger.kind.word().into(),
                found.trigger.mode.word().into(),
                Cell::or_dash(found.heard_at.map(date)),
                secret,
            ]
        })
        .collect();
    out.data(&table::render(
        ["NAME", "KIND", "MODE", "LAST HEARD", "SECRET"],
        &rows,
        out.data,
    ));
    if page.next.is_some() {
        out.say("These are the first 100; GET /api/v1/triggers lists all.");
    }
    Ok(Exit::Reached)
}

async fn explain(args: &TriggerExplainArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let body = ExplainRequest {
        headers: args.headers.iter().cloned().collect(),
        body: read(&args.file)?,
    };
    let path = format!("/api/v1/hooks/{}/explain", segment(args.name.as_str()));
    let reply = client.post(&path, &body, Conditions::default()).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let answer: ExplainAnswer = reply.read()?;
    out.data(&explained(&answer));
    Ok(Exit::Reached)
}

fn explained(answer: &ExplainAnswer) -> String {
    let proof = match (&answer.refusal, &answer.said) {
        (Some(code), Some(said)) => format!("the sender is not proved ({code}): {said}"),
        _ => "the sender is proved".to_owned(),
    };
    let event = if answer.known {
        "was kept before: nothing more comes of it"
    } else {
        "is new"
    };
    let mut lines = vec![proof, format!("the event {} {event}", answer.event_id)];
    for part in &answer.parts {
        let about = part.application.as_deref().unwrap_or("no application");
        lines.push(format!("{about}: {} ({})", part.said, part.code));
        if let (Some(outcome), Some(would_be)) = (&part.outcome, &part.would_be) {
            lines.push(format!(
                "  they say: {outcome}; in the mode auto they would say: {would_be}"
            ));
        }
        for one in &part.guards {
            let word = match one.answer {
                Answer::Pass => "pass",
                Answer::Ask => "ask",
                Answer::Wait => "wait",
                Answer::Refuse => "refuse",
            };
            lines.push(format!(
                "  {word:<6} {:<18} {}",
                one.guard.word(),
                one.sentence
            ));
        }
    }
    lines.join("\n")
}

/// `messages`.
///
/// # Errors
/// What the server says no with.
pub async fn messages(args: &MessagesArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let mut path = format!("/api/v1/messages?limit={}", args.limit);
    if let Some(name) = &args.application {
        path.push_str(&format!("&application={name}"));
    }
    if let Some(name) = &args.trigger {
        path.push_str(&format!("&trigger={name}"));
    }
    if let Some(id) = &args.after {
        path.push_str(&format!("&after={id}"));
    }
    let reply = client.get(&path).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<MessageDecision> = reply.read()?;
    out.data(&text(&page.items, out.data));
    if let Some(next) = &page.next {
        out.say(&format!(
            "There are more: the same command with `--after {next}`."
        ));
    }
    Ok(Exit::Reached)
}

/// Why, and the one next command, when there is one.
fn why(one: &MessageDecision) -> String {
    let next = one.next_action.as_ref().filter(|_| match one.outcome {
        MessageOutcome::Acted | MessageOutcome::Proposed => true,
        MessageOutcome::Recorded
        | MessageOutcome::Deployed
        | MessageOutcome::Noted
        | MessageOutcome::Shadowed => false,
    });
    let next = next.map_or(String::new(), |next| format!("; next: {next}"));
    format!("{} ({}){next}", one.said, one.code)
}

fn text(decisions: &[MessageDecision], paint: Paint) -> String {
    let rows: Vec<[Cell; 5]> = decisions
        .iter()
        .map(|one| {
            let (word, tone) = match one.outcome {
                MessageOutcome::Recorded => ("recorded", Tone::Plain),
                MessageOutcome::Deployed => ("deployed", Tone::Good),
                MessageOutcome::Noted => ("noted", Tone::Plain),
                MessageOutcome::Acted => ("acted", Tone::Busy),
                MessageOutcome::Proposed => ("proposed", Tone::Warn),
                MessageOutcome::Shadowed => ("shadowed", Tone::Plain),
            };
            [
                date(one.decided_at).into(),
                one.trigger.as_str().into(),
                Cell::or_dash(one.application.as_ref().map(|name| name.as_str())),
                Cell::toned(word, tone),
                why(one).into(),
            ]
        })
        .collect();
    table::render(
        ["WHEN", "TRIGGER", "APPLICATION", "OUTCOME", "WHY"],
        &rows,
        paint,
    )
}
