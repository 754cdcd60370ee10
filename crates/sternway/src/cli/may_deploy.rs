//! `may-deploy`: CI asks before it deploys.

use super::args::MayDeployArgs;
use crate::{
    client::{
        Client, Conditions,
        answers::{DeploymentCheck, DeploymentCheckAnswer},
        problem::Failure,
    },
    exit::Exit,
    out::Out,
};

/// The command. A no is exit code 5, so that a pipeline stops.
///
/// # Errors
/// What the server says no with.
pub async fn run(args: &MayDeployArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let body = DeploymentCheck {
        application: args.application.clone(),
        version: args.version.clone(),
        images: args.images.iter().cloned().collect(),
    };
    if body.images.len() != args.images.len() {
        return Err(Failure::new(
            Exit::Usage,
            "a component was given two images",
            &["give --image once for each component"],
        ));
    }
    let reply = client
        .post("/api/v1/deployments:check", &body, Conditions::default())
        .await?;
    let answer: DeploymentCheckAnswer = reply.read()?;
    let exit = if answer.allowed {
        Exit::Reached
    } else {
        Exit::Conflict
    };
    if out.json {
        out.object(&reply.raw);
        return Ok(exit);
    }
    out.data(&text(&answer));
    for reference in &answer.not_on_engine {
        out.say(&format!(
            "{reference} is not on the engine yet: only its version could be checked"
        ));
    }
    Ok(exit)
}

fn text(answer: &DeploymentCheckAnswer) -> String {
    if answer.allowed {
        return "yes".to_owned();
    }
    let reason = answer.reason.as_deref().unwrap_or("no reason was given");
    match &answer.next_action {
        Some(action) => format!("no: {reason}\n    {action}"),
        None => format!("no: {reason}"),
    }
}
