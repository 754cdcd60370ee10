//! `overrides`: guards that a person lets alerts past for a while.

use reqwest::Method;

use super::{
    args::{OverrideArgs, OverridesCommand},
    table,
};
use crate::{
    client::{
        Client, Conditions,
        answers::{Listing, OverrideAnswer, OverrideRequest},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::Out,
    progress::words::date,
};

/// The command.
///
/// # Errors
/// What the server says no with.
pub async fn run(command: &OverridesCommand, client: &Client, out: &Out) -> Result<Exit, Failure> {
    match command {
        OverridesCommand::List { application } => {
            list(&of(application.as_str()), client, out).await
        }
        OverridesCommand::Add(args) => add(args, client, out).await,
        OverridesCommand::End { application, id } => {
            let path = format!("{}/{id}", of(application.as_str()));
            client
                .send(Method::DELETE, &path, None::<&()>, Conditions::default())
                .await?;
            if out.json {
                out.object(&serde_json::json!({ "id": id, "ended": true }));
            } else {
                out.data(&format!("override {id} has ended"));
            }
            Ok(Exit::Reached)
        }
    }
}

fn of(application: &str) -> String {
    format!("/api/v1/applications/{}/overrides", segment(application))
}

async fn list(path: &str, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let reply = client.get(path).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<OverrideAnswer> = reply.read()?;
    let rows: Vec<[table::Cell; 5]> = page
        .items
        .iter()
        .map(|one| {
            [
                one.id.to_string().into(),
                one.guard.word().into(),
                one.person.as_str().into(),
                date(one.until).into(),
                one.reason.as_str().into(),
            ]
        })
        .collect();
    let titles = ["ID", "GUARD", "BY", "UNTIL", "WHY"];
    out.data(&table::render(titles, &rows, out.data));
    Ok(Exit::Reached)
}

async fn add(args: &OverrideArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let body = OverrideRequest {
        guard: args.guard,
        reason: args.reason.clone(),
        for_s: Some(args.minutes.saturating_mul(60)),
    };
    let path = of(args.application.as_str());
    let reply = client.post(&path, &body, Conditions::default()).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let made: OverrideAnswer = reply.read()?;
    out.data(&format!(
        "alerts about {} pass `{}` until {}; end it sooner: sternway overrides end {} {}",
        made.application,
        made.guard.word(),
        date(made.until),
        made.application,
        made.id
    ));
    Ok(Exit::Reached)
}
