//! `chat`: who the users of a chat are, and the token that is posted with. The token is read from a file and never from
//! a flag.

use domain::name::TriggerName;
use reqwest::Method;

use super::{
    args::chat::{ChatCommand, ChatMapArgs},
    table,
    token::role,
    triggers::{path, read},
};
use crate::{
    client::{
        Client, Conditions,
        answers::{BotRequest, ChatPersonAnswer, ChatPersonRequest, Listing},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::Out,
};

/// The command.
///
/// # Errors
/// What the server says no with.
pub async fn run(command: &ChatCommand, client: &Client, out: &Out) -> Result<Exit, Failure> {
    match command {
        ChatCommand::List { trigger } => list(trigger, client, out).await,
        ChatCommand::Map(args) => map(args, client, out).await,
        ChatCommand::Unmap { trigger, user } => {
            let path = format!("{}/persons/{}", path(trigger), segment(user.as_str()));
            client
                .send(Method::DELETE, &path, None::<&()>, Conditions::default())
                .await?;
            if out.json {
                out.object(&serde_json::json!({ "user": user, "removed": true }));
            } else {
                out.data(&format!("nobody is {user} any more"));
            }
            Ok(Exit::Reached)
        }
        ChatCommand::Bot {
            trigger,
            token_file,
        } => {
            let token = read(token_file)?.trim().to_owned();
            let path = format!("{}/bot", path(trigger));
            let body = BotRequest { token };
            client
                .send(Method::PUT, &path, Some(&body), Conditions::default())
                .await?;
            if out.json {
                out.object(&serde_json::json!({ "trigger": trigger, "set": true }));
            } else {
                out.data(&format!("{trigger} posts with that token"));
            }
            Ok(Exit::Reached)
        }
    }
}

async fn map(args: &ChatMapArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let user = segment(args.user.as_str());
    let path = format!("{}/persons/{user}", path(&args.trigger));
    let body = ChatPersonRequest {
        person: args.person.clone(),
        role: role(args.role),
        applications: (!args.applications.is_empty()).then(|| args.applications.clone()),
    };
    let reply = client
        .send(Method::PUT, &path, Some(&body), Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let made: ChatPersonAnswer = reply.read()?;
    out.data(&format!(
        "{} is {}, with the role {}",
        made.user,
        made.person,
        made.role.word()
    ));
    Ok(Exit::Reached)
}

async fn list(trigger: &TriggerName, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let path = format!("{}/persons?limit=100", path(trigger));
    let reply = client.get(&path).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let page: Listing<ChatPersonAnswer> = reply.read()?;
    let rows: Vec<[table::Cell; 5]> = page
        .items
        .iter()
        .map(|one| {
            let names = one.applications.as_ref().map(|names| {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                names.join(", ")
            });
            [
                one.user.as_str().into(),
                one.person.as_str().into(),
                one.role.word().into(),
                names.unwrap_or_else(|| "all".to_owned()).into(),
                one.mapped_by.as_str().into(),
            ]
        })
        .collect();
    let titles = ["USER", "PERSON", "ROLE", "APPLICATIONS", "BY"];
    out.data(&table::render(titles, &rows, out.data));
    if page.next.is_some() {
        out.say("These are the first 100; GET /api/v1/triggers/{trigger}/persons lists all.");
    }
    Ok(Exit::Reached)
}
