//! `automatic` and `windows`: what keeps rollbacks from starting without a person who asked for them.

use domain::name::ApplicationName;
use reqwest::Method;

use super::{
    args::{AutomaticCommand, SwitchArgs, WindowAddArgs, WindowsCommand},
    table::{self, Cell, Tone},
};
use crate::{
    client::{
        Client, Conditions,
        answers::{
            AutomaticAnswer, AutomaticRequest, AutomaticState, Listing, SwitchedOffAnswer,
            WindowAnswer, WindowRequest,
        },
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint, one_line},
    progress::words::date,
};

/// Where the windows are.
const WINDOWS: &str = "/api/v1/freeze-windows";
/// Where the switch of all applications is.
pub(super) const AUTOMATIC: &str = "/api/v1/automatic";

/// `automatic`.
///
/// # Errors
/// What the server says no with.
pub async fn automatic(
    command: Option<&AutomaticCommand>,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        None => show(client, out).await,
        Some(AutomaticCommand::Off(args)) => switch(args, false, client, out).await,
        Some(AutomaticCommand::On(args)) => switch(args, true, client, out).await,
    }
}

async fn show(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get(AUTOMATIC).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let state: AutomaticState = reply.read()?;
    if state.off.is_empty() {
        out.data("Automatic rollbacks are on, for every application.");
    }
    for off in &state.off {
        out.data(&off_since(off));
    }
    Ok(Exit::Reached)
}

/// That it is off, by whom and why, in one line.
pub(super) fn off_since(off: &SwitchedOffAnswer) -> String {
    format!(
        "Automatic rollbacks of {} are off since {} by {}: {}",
        of(off.application.as_ref()),
        date(off.at),
        off.by,
        one_line(&off.reason)
    )
}

fn of(application: Option<&ApplicationName>) -> String {
    application.map_or_else(|| "every application".to_owned(), ToString::to_string)
}

async fn switch(
    args: &SwitchArgs,
    automatic: bool,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    let path = match &args.application {
        Some(name) => format!("/api/v1/applications/{}/automatic", segment(name.as_str())),
        None => AUTOMATIC.to_owned(),
    };
    let body = AutomaticRequest {
        automatic,
        reason: args.reason.clone(),
    };
    let reply = client
        .send(Method::PUT, &path, Some(&body), Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let answer: AutomaticAnswer = reply.read()?;
    let how = if answer.automatic { "on" } else { "off" };
    let whom = of(answer.application.as_ref());
    out.data(&format!("automatic rollbacks of {whom} are {how}"));
    for rollback in &answer.stopping {
        out.data(&format!(
            "  {rollback} is called off at its next safe point: sternway watch {rollback}"
        ));
    }
    if !answer.automatic {
        out.say("Rollbacks that people ask for go on as ever.");
    }
    Ok(Exit::Reached)
}

/// `windows`.
///
/// # Errors
/// What the server says no with.
pub async fn windows(
    command: &WindowsCommand,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        WindowsCommand::List => list(client, out).await,
        WindowsCommand::Add(args) => add(args, client, out).await,
        WindowsCommand::Remove { id } => {
            let path = format!("{WINDOWS}/{id}");
            client
                .send(Method::DELETE, &path, None::<&()>, Conditions::default())
                .await?;
            if out.json {
                out.object(&serde_json::json!({ "id": id, "removed": true }));
            } else {
                out.data(&format!("window {id} is removed"));
            }
            Ok(Exit::Reached)
        }
    }
}

async fn list(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get(WINDOWS).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<WindowAnswer> = reply.read()?;
    if page.items.is_empty() {
        out.say("There are no freeze windows. Add one: sternway windows add deny --cron '0 18 * * fri' --hours 62 --zone Europe/Berlin");
    }
    out.data(&text(&page.items, out.data));
    Ok(Exit::Reached)
}

async fn add(args: &WindowAddArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let (hours, minutes) = (args.hours.unwrap_or(0), args.minutes.unwrap_or(0));
    let body = WindowRequest {
        kind: args.kind,
        application: args.application.clone(),
        cron: args.cron.clone(),
        duration_s: hours
            .saturating_mul(3600)
            .saturating_add(minutes.saturating_mul(60)),
        zone: args.zone.clone(),
        rollbacks: args.rollbacks,
        note: args.note.clone(),
    };
    let reply = client.post(WINDOWS, &body, Conditions::default()).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let window: WindowAnswer = reply.read()?;
    out.data(&format!("window {} is added: {}", window.id, when(&window)));
    if !window.rollbacks {
        out.say("Rollbacks are exempt from it; --rollbacks would keep them from starting by themselves.");
    }
    Ok(Exit::Reached)
}

fn text(windows: &[WindowAnswer], paint: Paint) -> String {
    let rows: Vec<[Cell; 6]> = windows
        .iter()
        .map(|window| {
            let tone = match window.open_until {
                Some(_) => Tone::Warn,
                None => Tone::Plain,
            };
            [
                window.id.to_string().into(),
                window.kind.word().into(),
                of(window.application.as_ref()).into(),
                format!(
                    "{} {}, {} min",
                    window.cron,
                    window.zone,
                    window.duration_s / 60
                )
                .into(),
                (if window.rollbacks { "yes" } else { "exempt" }).into(),
                Cell::toned(when(window), tone),
            ]
        })
        .collect();
    table::render(
        ["ID", "KIND", "OF", "BEGINS", "ROLLBACKS", "NOW"],
        &rows,
        paint,
    )
}

fn when(window: &WindowAnswer) -> String {
    match (window.open_until, window.next_at) {
        (Some(until), _) => format!("open until {}", date(until)),
        (None, Some(next)) => format!("closed, opens {}", date(next)),
        (None, None) => "closed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_says_whether_it_is_open() {
        let mut window: WindowAnswer = serde_json::from_value(serde_json::json!({
            "id": uuid::Uuid::nil(), "kind": "deny", "cron": "0 18 * * fri", "duration_s": 7200, "zone": "UTC",
            "rollbacks": false, "made_by": "ana", "made_at": "2026-11-22T10:00:00Z",
            "open_until": "2026-11-22T20:00:00Z"
        }))
        .unwrap();
        assert_eq!(when(&window), "open until 2026-11-22 20:00:00Z");
        let line = text(std::slice::from_ref(&window), Paint::default());
        assert!(
            line.contains("every application") && line.contains("exempt"),
            "{line}"
        );
        window.open_until = None;
        assert_eq!(when(&window), "closed");
    }
}
