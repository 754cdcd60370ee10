//! What `front` looks at: the definition, the engine, the project as its own Compose reads it, and its files.

use std::path::Path;

use docker::{Engine, LookRequest, ProjectFacts, ProjectFile, ProjectRequest, front_place};
use domain::{
    application::Application,
    compose::{
        ComposeProject,
        place::{LISTED, OVERRIDES, Place},
    },
    engine_look::{Container, EngineLook},
    front::{
        adopted::{self, Adopted},
        adoption::{self, LISTED_FRONT, Refusal},
        port_line,
    },
    name::{ApplicationName, ComponentName, RollbackId},
    specification::Shape,
};

use super::{files, refused};
use crate::{
    cli::{application::path, args::FrontAdoptArgs},
    client::{Client, problem::Failure, segment},
    exit::Exit,
};

/// How often Compose is asked what it makes of the project; each time has its own limit.
const READS_MAX: u8 = 3;

/// What was looked at.
pub(in crate::cli) struct Site {
    client: Client,
    pub(super) application: Application,
    pub(super) etag: Option<String>,
    pub(super) project: ComponentName,
    pub(super) compose: ComposeProject,
    pub(super) engine: Engine,
    pub(super) look: EngineLook,
    pub(super) facts: Result<ProjectFacts, String>,
    pub(super) place: Result<Place, String>,
    /// The site's own files, with what is in them.
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) env: Option<Vec<u8>>,
    /// How long its last rollback kept clients waiting, where that is known.
    pub(super) last_gap_ms: Option<u64>,
}

impl Site {
    /// Looks. A rollback that is under way is the first thing that is said.
    pub(super) async fn look(client: &Client, name: &ApplicationName) -> Result<Self, Failure> {
        let reply = client.get(&path(name)).await?;
        let application: Application = serde_json::from_value(reply.raw.clone())
            .map_err(|error| Failure::new(Exit::Internal, error.to_string(), &[]))?;
        let last_gap_ms = nothing_acts(client, name).await?;
        let (Some(project), Some(compose)) = (&application.project, &application.compose) else {
            let what =
                format!("the definition of {name} does not say where its Compose project is");
            let next = "name `project` and `compose.folder` in it: `sternway adopt` proposes both";
            return Err(Failure::new(Exit::Conflict, what, &[next]));
        };
        let engine = engine_of(&application)?;
        let look = looked(client, &engine, &application).await?;
        let request = ProjectRequest {
            name: project,
            definition: compose,
            variable: None,
        };
        let facts = facts_of(&engine, &request).await;
        let placed = front_place(compose);
        let files = match &placed {
            Ok((place, separator)) => own_files(compose, &place.own, separator)?,
            Err(_) => Vec::new(),
        };
        let env = read(compose, compose.env_file())?;
        Ok(Self {
            client: client.clone(),
            etag: reply.etag,
            project: project.clone(),
            compose: compose.clone(),
            place: placed.map(|(place, _)| place),
            engine,
            look,
            facts,
            files,
            env,
            last_gap_ms,
            application,
        })
    }

    /// Where the project's files are, ours included as soon as it is there: a list that the definition names is what
    /// Compose is given.
    pub(super) fn compose_with(&self, adopted: &Adopted) -> ComposeProject {
        let mut compose = self.compose.clone();
        let there = Path::new(&compose.folder).join(&adopted.name).exists();
        if there && !compose.files.is_empty() && !compose.files.contains(&adopted.name) {
            compose.files.push(adopted.name.clone());
        }
        compose
    }

    /// The request that the project is read with.
    pub(super) fn request<'a>(&'a self, compose: &'a ComposeProject) -> ProjectRequest<'a> {
        ProjectRequest {
            name: &self.project,
            definition: compose,
            variable: None,
        }
    }

    /// The application's engine, looked at now.
    pub(super) async fn look_again(&self) -> Result<EngineLook, String> {
        let looked = looked(&self.client, &self.engine, &self.application).await;
        looked.map_err(said)
    }

    /// That no rollback acts on the application by now, of ours or of another control plane's: asked right before each
    /// act, since the one before may have taken minutes.
    pub(super) async fn nothing_acts(&self) -> Result<(), String> {
        let under_way = nothing_acts(&self.client, &self.application.name);
        under_way.await.map_err(said)?;
        let look = self.look_again().await?;
        adoption::nothing_acts(&look).map_err(|refusal| refusal.to_string())
    }

    /// Whether the definition says that the component is behind this balancer: it was adopted, and proved.
    pub(super) fn stands(&self, adopted: &Adopted) -> bool {
        let component = self.application.component(&adopted.component);
        let front = component.and_then(|component| component.front.as_ref());
        front.is_some_and(|front| adopted.is(front))
    }

    /// The component's container as it was looked at.
    pub(super) fn container(&self, component: &ComponentName) -> Option<&Container> {
        adoption::running(component, &self.look).next()
    }

    /// What an earlier call decided; none when there was none, or when it was taken away.
    pub(super) fn standing(&self) -> Result<Option<Adopted>, Failure> {
        for name in [OVERRIDES[0], LISTED_FRONT] {
            let Some(content) = read(&self.compose, name)? else {
                continue;
            };
            if adopted::is_ours(&content) {
                return adopted::read(&content).map(Some).map_err(|why| {
                    let what = format!("{}/{name} is left as it is: {why}", self.compose.folder);
                    let next = "put it back as it was, then try again";
                    Failure::new(Exit::Conflict, what, &[next])
                });
            }
        }
        let marked = self
            .files
            .iter()
            .find(|(_, text)| port_line::is_taken(text));
        match marked {
            None => Ok(None),
            Some((name, _)) => Err(Failure::new(
                Exit::Conflict,
                format!(
                    "{name} says that a balancer has its port, and the override file that makes the balancer is gone"
                ),
                &[
                    "make the lines that begin with `# sternway front has this:` lines again by hand",
                ],
            )),
        }
    }

    /// What to do.
    pub(super) fn decide(&self, args: &FrontAdoptArgs) -> Result<Adopted, Failure> {
        let decided = || {
            adoption::nothing_acts(&self.look)?;
            let wanted = args.component.as_ref();
            let component = adoption::component(&self.application, &self.look, wanted)?;
            let facts = self.facts.as_ref().map_err(|why| {
                let sentence = format!("the Compose project can not be read: {why}");
                Refusal::new(
                    sentence,
                    "correct that, or the definition's `compose`, then try again",
                )
            })?;
            adoption::adoption(&adoption::Site {
                application: &self.application,
                component,
                look: &self.look,
                read: &facts.read,
                networks: &facts.networks,
                place: &self.place,
                files: &self.files,
                env: self.env.as_deref(),
                image: &args.image,
                user: files::balancers_user(),
            })
        };
        decided().map_err(|refusal| refused(&refusal))
    }

    /// Whether nothing is left to do.
    pub(super) async fn is_whole(&self, adopted: &Adopted) -> bool {
        let taken = self.files.iter().any(|(_, text)| port_line::is_taken(text));
        let balancer = self
            .engine
            .service_containers(&self.project, &adopted.service())
            .await;
        self.stands(adopted)
            && taken
            && !self.has_port(adopted)
            && balancer.is_ok_and(|found| found.iter().any(|one| one.runs))
    }

    /// Whether the component's container has the port itself.
    pub(super) fn has_port(&self, adopted: &Adopted) -> bool {
        has_port(&self.look, adopted)
    }

    /// Whether everything can be put back now.
    pub(super) fn may_be_released(&self, adopted: &Adopted) -> Result<(), Refusal> {
        adoption::nothing_acts(&self.look)?;
        let listed = self.env.as_deref().unwrap_or_default();
        if String::from_utf8_lossy(listed).contains(LISTED) {
            return Err(Refusal::new(
                format!(
                    "{LISTED} pins what a rollback brought back, and names its files beside ours"
                ),
                "release that hold first (`sternway release`), then try again",
            ));
        }
        if let Some((name, text)) = self
            .files
            .iter()
            .find(|(_, text)| port_line::is_taken(text))
        {
            let back = port_line::put_back(text, &adopted.component, &adopted.port);
            back.map_err(|why| {
                let next = "put those lines back as they were, then try again";
                Refusal::new(format!("{name} is left as it is: {why}"), next)
            })?;
        }
        adopted.unlisted(self.env.as_deref()).map_err(|why| {
            let next = "put it back as it was, then try again";
            Refusal::new(
                format!("{} is left as it is: {why}", self.compose.env_file()),
                next,
            )
        })?;
        if self.has_port(adopted) {
            return Ok(());
        }
        let facts = self.facts.as_ref().map_err(|why| {
            let sentence = format!("the Compose project can not be read: {why}");
            Refusal::new(sentence, "correct that, then try again")
        })?;
        match self.container(&adopted.component) {
            Some(container) => {
                adoption::runs_the_files_image(&facts.read, &adopted.component, container)
            }
            None => Ok(()),
        }
    }
}

/// Whether a component's container publishes the port itself.
pub(super) fn has_port(look: &EngineLook, adopted: &Adopted) -> bool {
    let mut own = adoption::running(&adopted.component, look);
    own.any(|container| {
        let mut ports = container.shape.iter().flat_map(Shape::fixed_ports);
        ports.any(|port| port.port == adopted.port.port && port.protocol == adopted.port.protocol)
    })
}

/// How long the last rollback kept clients waiting; an error while one is under way.
async fn nothing_acts(client: &Client, name: &ApplicationName) -> Result<Option<u64>, Failure> {
    let of = format!(
        "/api/v1/rollbacks?application={}&limit=1",
        segment(name.as_str())
    );
    let active = client.get(&format!("{of}&active=true")).await?;
    let items = |raw: &serde_json::Value| raw["items"].as_array().cloned().unwrap_or_default();
    if let Some(item) = items(&active.raw).first()
        && item["phase"] != "watching"
    {
        let id = item["id"].as_str().unwrap_or_default();
        let next = format!("wait for it: `sternway watch {id}`");
        return Err(Failure::new(
            Exit::Conflict,
            format!("rollback {id} of {name} is under way"),
            &[&next],
        ));
    }
    let last = client.get(&of).await?;
    let last = items(&last.raw);
    Ok(last.first().and_then(|item| item["downtime_ms"].as_u64()))
}

/// The project as Compose reads it, asked again where it did not answer: a person waits, and a busy machine is slow.
pub(super) async fn facts_of(
    engine: &Engine,
    request: &ProjectRequest<'_>,
) -> Result<ProjectFacts, String> {
    let mut facts = engine.project_facts(request).await;
    for _ in 1..READS_MAX {
        if facts.is_ok() {
            break;
        }
        facts = engine.project_facts(request).await;
    }
    facts
}

fn engine_of(application: &Application) -> Result<Engine, Failure> {
    let local = docker::default_endpoint(std::env::var("DOCKER_HOST").ok().as_deref());
    let endpoint = match application.engine.as_str() {
        "local" => &local,
        other => other,
    };
    Engine::connect(endpoint).map_err(|error| away(&error))
}

async fn looked(
    client: &Client,
    engine: &Engine,
    application: &Application,
) -> Result<EngineLook, Failure> {
    let request = LookRequest {
        application,
        images: &[],
        disk: false,
        paths: &[],
        specifications: true,
    };
    let mut looked = engine.look(&request).await.map_err(|error| away(&error))?;
    if let Some(lock) = &mut looked.look.lock {
        lock.stale = acts_no_more(client, lock.rollback).await?;
    }
    Ok(looked.look)
}

/// Whether a rollback that left a lock on the engine acts no more. One that the server does not know is another control
/// plane's, and may.
async fn acts_no_more(client: &Client, rollback: RollbackId) -> Result<bool, Failure> {
    match client.get(&format!("/api/v1/rollbacks/{rollback}")).await {
        Ok(reply) => Ok(matches!(
            reply.raw["phase"].as_str(),
            Some("watching" | "ended")
        )),
        Err(failure) if failure.exit == Exit::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// What went wrong, as a sentence.
fn said(failure: Failure) -> String {
    let problem = *failure.problem;
    problem.detail.unwrap_or(problem.title)
}

fn away(error: &docker::Error) -> Failure {
    let next =
        "run this on the host of the project, as a user who may use its engine (DOCKER_HOST)";
    Failure::new(Exit::Unreachable, error.to_string(), &[next])
}

fn own_files(
    compose: &ComposeProject,
    own: &str,
    separator: &str,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut files = Vec::new();
    for name in own.split(separator) {
        if let Some(content) = read(compose, name)? {
            files.push((name.to_owned(), content));
        }
    }
    Ok(files)
}

/// A file of the project; none when it is not there.
pub(super) fn read(compose: &ComposeProject, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    if !Path::new(&compose.folder).is_dir() {
        let what = format!("the project's folder {} is not there", compose.folder);
        let next = "run this on the project's host, or correct `compose.folder` of the definition";
        return Err(Failure::new(Exit::Conflict, what, &[next]));
    }
    let content = ProjectFile::find(&compose.folder, name).and_then(|file| file.read());
    content.map_err(|why| Failure::new(Exit::Conflict, why, &["correct that, then try again"]))
}
