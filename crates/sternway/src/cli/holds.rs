//! `hold` and `release`: what may not come back. A released hold also undoes what its rollback pinned.

use std::time::{Duration, Instant};

use domain::name::{ApplicationName, RollbackId};
use reqwest::Method;

use super::args::{HoldArgs, ReleaseArgs};
use crate::{
    client::{
        Client, Conditions,
        answers::{HoldReleasedAnswer, HoldRequest, PinAnswer, RollbackAnswer},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, one_line},
};

/// How long `release` waits to say what became of the files: the worker looks every two seconds.
const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// How often it asks.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// `hold`.
///
/// # Errors
/// What the server says no with.
pub async fn hold(args: &HoldArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let body = HoldRequest {
        reason: args.reason.clone(),
        insecure: args.insecure,
    };
    let path = path(&args.application, args.version.as_str());
    let reply = client
        .send(Method::PUT, &path, Some(&body), Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
    } else {
        out.data(&format!(
            "{} {} is held: it may not come back until released",
            args.application, args.version
        ));
    }
    Ok(Exit::Reached)
}

/// `release`. Says of each file that a rollback pinned what it will say again, then what came of it.
///
/// # Errors
/// What the server says no with.
pub async fn release(args: &ReleaseArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let path = path(&args.application, args.version.as_str());
    let reply = client
        .send(Method::DELETE, &path, None::<&()>, Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let answer: HoldReleasedAnswer = reply.read()?;
    out.data(&format!(
        "{} {} is released: it may come back",
        answer.application, answer.version
    ));
    for pin in &answer.pins {
        out.data(&format!("  {}", goes_back(pin)));
    }
    let until = Instant::now() + SETTLE_WAIT;
    for pin in &answer.pins {
        let said = settled(client, pin, until).await;
        out.data(&format!("  {}", came_of_it(pin, said.as_deref())));
    }
    Ok(Exit::Reached)
}

fn goes_back(pin: &PinAnswer) -> String {
    let path = one_line(&pin.path);
    let former = pin.former.as_deref().map(one_line);
    let then = match (&pin.variable, former) {
        (Some(variable), Some(former)) => format!("says {variable}={former} again"),
        (Some(variable), None) => format!("does not set {variable} again"),
        (None, Some(former)) => format!("pins {former} again"),
        (None, None) => "is removed".to_owned(),
    };
    let wrote = pin.written.as_deref().map_or_else(
        || "which the rollback took away".to_owned(),
        |written| format!("where the rollback wrote {}", one_line(written)),
    );
    format!(
        "{path} {then} within seconds, {wrote}, unless it was edited since: the next `up` goes by it"
    )
}

fn came_of_it(pin: &PinAnswer, said: Option<&str>) -> String {
    said.map_or_else(
        || {
            format!(
                "not done yet, while no worker lives or a rollback runs: `sternway watch {}` says when it is",
                pin.rollback_id
            )
        },
        |said| format!("what came of it: {}", one_line(said)),
    )
}

/// What the worker said of a file; none when it said nothing in time. The release stands whatever this finds.
async fn settled(client: &Client, pin: &PinAnswer, until: Instant) -> Option<String> {
    loop {
        let said = said(client, pin.rollback_id, &pin.path)
            .await
            .ok()
            .flatten();
        if said.is_some() || Instant::now() >= until {
            return said;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn said(client: &Client, id: RollbackId, path: &str) -> Result<Option<String>, Failure> {
    let rollback: RollbackAnswer = client
        .get(&format!("/api/v1/rollbacks/{id}"))
        .await?
        .read()?;
    let pin = rollback.pins.into_iter().find(|pin| pin.path == path);
    Ok(pin.and_then(|pin| pin.said))
}

fn path(application: &ApplicationName, version: &str) -> String {
    format!(
        "/api/v1/applications/{}/releases/{}/hold",
        segment(application.as_str()),
        segment(version)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_says_which_file_will_say_what() {
        let mut pin: PinAnswer = serde_json::from_value(serde_json::json!({
            "rollback_id": uuid::Uuid::nil(), "path": "/srv/shop/.env", "variable": "VERSION",
            "former": "1.5.0", "written": "1.4.2"
        }))
        .unwrap();
        let said = goes_back(&pin);
        assert!(
            said.starts_with("/srv/shop/.env says VERSION=1.5.0 again within seconds"),
            "{said}"
        );
        pin.former = None;
        assert!(goes_back(&pin).contains("does not set VERSION again"));
        assert!(came_of_it(&pin, None).contains("sternway watch 0000"));
        pin.variable = None;
        assert!(goes_back(&pin).contains("/srv/shop/.env is removed within"));
        pin.former = Some("api=shop@sha256:00".to_owned());
        pin.written = None;
        let said = goes_back(&pin);
        assert!(
            said.contains("pins api=shop@sha256:00 again") && said.contains("took away"),
            "{said}"
        );
        assert_eq!(
            came_of_it(&pin, Some("it is so")),
            "what came of it: it is so"
        );
    }
}
