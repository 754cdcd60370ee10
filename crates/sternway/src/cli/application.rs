//! `adopt` and `apply`: definitions from a running project, into a repository, and back into the server.

use std::{io::Read as _, path::Path};

use domain::{application::Application, name::ApplicationName};
use reqwest::Method;

use super::{
    args::{AdoptArgs, ApplyArgs},
    definition,
};
use crate::{
    client::{
        Client, Conditions,
        answers::{AdoptionAnswer, AdoptionRequest},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::Out,
};

/// The server takes 64 KiB of JSON; more TOML than this is some other file.
const DEFINITION_BYTES_MAX: u64 = 1 << 20;

/// `adopt`. Nothing is stored.
///
/// # Errors
/// What the server says no with.
pub async fn adopt(args: &AdoptArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let body = AdoptionRequest {
        project: args.project.clone(),
        engine: args.engine.clone(),
    };
    let reply = client
        .post("/api/v1/adoptions", &body, Conditions::default())
        .await?;
    if out.json {
        out.object(&reply.raw);
    } else {
        let answer: AdoptionAnswer = reply.read()?;
        out.data(&definition::write(&answer.application, &answer.notes)?);
        out.say("Nothing is stored yet: read it, correct it, then `sternway apply -f FILE`.");
    }
    Ok(Exit::Reached)
}

/// What applying a definition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there before.
    Created,
    /// It was another one.
    Updated,
    /// It was the same.
    Unchanged,
}

impl Applied {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// `apply`.
///
/// # Errors
/// What is wrong with the definition, and what the server says no with.
pub async fn apply(args: &ApplyArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let application = definition::read(&text_of(&args.file)?)?;
    let applied = put(client, &application).await?;
    if out.json {
        out.object(&serde_json::json!({ "result": applied.word(), "application": application }));
    } else {
        out.data(&format!("{} {}", application.name, applied.word()));
    }
    Ok(Exit::Reached)
}

/// Brings the server's definition to this one, against the revision that was read.
///
/// # Errors
/// What the server says no with.
pub async fn put(client: &Client, application: &Application) -> Result<Applied, Failure> {
    let path = path(&application.name);
    let present = match client.get(&path).await {
        Ok(reply) => Some(reply),
        Err(failure) if failure.exit == Exit::NotFound => None,
        Err(failure) => return Err(failure),
    };
    // Compared as it came: a text that had to be cleaned to be shown is still the text that is stored.
    let same = |reply: &crate::client::Reply| {
        serde_json::from_value::<Application>(reply.raw.clone())
            .is_ok_and(|there| there == *application)
    };
    if present.as_ref().is_some_and(same) {
        return Ok(Applied::Unchanged);
    }
    let etag = present.as_ref().and_then(|reply| reply.etag.as_deref());
    client
        .send(
            Method::PUT,
            &path,
            Some(application),
            Conditions {
                if_match: etag,
                ..Conditions::default()
            },
        )
        .await?;
    Ok(if present.is_some() {
        Applied::Updated
    } else {
        Applied::Created
    })
}

/// Where an application is.
#[must_use]
pub fn path(name: &ApplicationName) -> String {
    format!("/api/v1/applications/{}", segment(name.as_str()))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Usage,
            format!("`{}` can not be read: {error}", file.display()),
            &["name a TOML file with -f, or `-` for stdin"],
        )
    };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(DEFINITION_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(DEFINITION_BYTES_MAX).read_to_string(&mut text))
            .map_err(unreadable)?;
    }
    Ok(text)
}
