//! The demo's story, scene by scene: a good version, a bad one, the way back, the proof.

use std::time::{Duration, Instant};

use domain::{
    application::Application, engine_look::Health, name::RollbackId, probe::FrontProbe,
    reason::Reason, target::Target,
};
use serde_json::Value;

use super::{
    Stage,
    server::Server,
    summary::Story,
    traffic::{self, Counts, Traffic},
};
use crate::{
    cli::{
        application,
        args::{StrategyArgs, Until},
        plan,
        rollback::{self, Because},
    },
    client::{
        Client, Conditions,
        answers::{
            AdoptionAnswer, AdoptionRequest, DeploymentAnswer, DeploymentRequest, NewTokenAnswer,
            PhaseWord, PlanAnswer, Role, RollbackAnswer, StateWord, TokenKindWord, TokenRequest,
        },
        problem::Failure,
    },
    exit::Exit,
    out::Out,
    progress::{View, follow::Follower, tree::Tree},
};

/// The version that works.
pub const GOOD: &str = "1.4.2";
/// The version whose main path answers 500 while its containers run and its health check is green.
pub const BAD: &str = "1.5.0";
/// The image of both components.
const IMAGE: &str = "sternway-demo";
/// The Compose project, from the `.env` beside the Compose file.
pub const PROJECT: &str = "sternway-demo";
/// Where the application is reached when `DEMO_PORT` says nothing.
const PORT: u16 = 18080;
/// The runbook's 15 minutes would be a long demo.
const WATCH_WINDOW_S: u32 = 5;
/// How long failing traffic is shown.
const SHOWN: Duration = Duration::from_secs(3);
/// How long an application of this size may take to answer.
const ANSWERS_LIMIT: Duration = Duration::from_secs(30);
/// How long a deployment may take to be proved good: its watch window, and the watcher's own rhythm.
const GOOD_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Plays it.
///
/// # Errors
/// Whatever is not as the story says: a demo that can not prove its end has failed.
pub async fn tell(stage: &mut Stage, out: &Out) -> Result<Story, Failure> {
    let base = base();
    scene(out, 1, "A server of its own, with its own database");
    let api = server(stage, out).await?;
    scene(
        out,
        2,
        &format!("{GOOD} is deployed: {}", stage.compose.words("up -d")),
    );
    stage.compose.up(GOOD).await?;
    answers(&base, 200).await?;
    define(stage, &base, out).await?;
    let traffic = Traffic::start(format!("{base}/"))?;
    proved_good(stage, out).await?;
    scene(out, 3, &format!("{BAD} is deployed, and it is broken"));
    stage.compose.up(BAD).await?;
    let bad = answers(&base, 500).await?;
    record(stage, BAD).await?;
    let before = failing(&traffic, bad, out).await;
    looks_well(stage, out).await?;
    scene(out, 4, "What would a rollback do?");
    let plan = planned(&api, stage, out).await?;
    scene(out, 5, "The rollback, over the HTTP API");
    let mut story = rolled_back(&api, &plan, &traffic, out).await?;
    scene(out, 6, "The proof, asked by this demo itself");
    prove(&base, out).await?;
    story.before = before;
    settle(&api, &mut story, &traffic, out).await?;
    Ok(story)
}

fn scene(out: &Out, number: u8, title: &str) {
    out.say(&format!(
        "\n{}",
        out.talk.strong(&format!("{number}/6  {title}"))
    ));
}

/// The application's port on this machine.
#[must_use]
pub fn port() -> u16 {
    std::env::var("DEMO_PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(PORT)
}

fn base() -> String {
    format!("http://127.0.0.1:{}", port())
}

/// Starts the server and makes a token, so that the rest goes over HTTP as from any other machine.
async fn server(stage: &mut Stage, out: &Out) -> Result<Client, Failure> {
    stage.server = Some(Server::start(
        &stage.folder,
        &stage.docker_host,
        stage.keep,
    )?);
    stage.remember()?;
    let log = stage.folder.log();
    let server = stage
        .server
        .as_mut()
        .ok_or_else(|| surprise("the server is gone"))?;
    let took = server.ready(&log).await?;
    out.say(&format!(
        "     ready after {} ms at {}",
        took.as_millis(),
        server.url
    ));
    let ask = TokenRequest {
        name: "demo".to_owned(),
        kind: TokenKindWord::Service,
        person: None,
        role: Role::Operator,
        applications: None,
        expires_in_days: Some(1),
    };
    let token: NewTokenAnswer = server
        .local
        .post("/api/v1/tokens", &ask, Conditions::default())
        .await?
        .read()?;
    let path = stage.folder.token();
    std::io::Write::write_all(&mut stage.folder.create(&path)?, token.token.as_bytes())
        .map_err(|error| surprise(&format!("the token can not be written: {error}")))?;
    Client::at_url(&server.url, Some(token.token))
}

fn local(stage: &Stage) -> Result<&Client, Failure> {
    stage
        .server
        .as_ref()
        .map(|server| &server.local)
        .ok_or_else(|| surprise("the server is gone"))
}

/// Adopts the running project and adds what nobody can guess: what its users see.
async fn define(stage: &mut Stage, base: &str, out: &Out) -> Result<(), Failure> {
    let project = PROJECT
        .parse()
        .map_err(|_| surprise("the project's name"))?;
    let ask = AdoptionRequest {
        project,
        engine: "local".to_owned(),
    };
    let adopted: AdoptionAnswer = local(stage)?
        .post("/api/v1/adoptions", &ask, Conditions::default())
        .await?
        .read()?;
    let mut definition: Application = adopted.application;
    definition.watch_window_s = WATCH_WINDOW_S;
    definition.environment = "demo"
        .parse()
        .map_err(|_| surprise("the environment's name"))?;
    definition.probes = vec![FrontProbe {
        url: format!("{base}/"),
        status: Some(200),
        contains: None,
    }];
    for component in &definition.components {
        let version = component
            .version_endpoint
            .as_ref()
            .map_or("no version endpoint".to_owned(), |at| {
                format!("version at :{}{}", at.port, at.path)
            });
        let probes = component.probes.len();
        let plural = if probes == 1 { "" } else { "s" };
        out.say(&format!(
            "     adopted {}: {probes} probe{plural} guessed, {version}",
            component.name
        ));
    }
    out.say(&format!("     added: GET {base}/ must answer 200, for {WATCH_WINDOW_S} s (the runbook says 15 to 30 min)"));
    application::put(local(stage)?, &definition).await?;
    stage.application = Some(definition);
    stage.remember()
}

async fn record(stage: &Stage, version: &str) -> Result<DeploymentAnswer, Failure> {
    let definition = stage
        .application
        .as_ref()
        .ok_or_else(|| surprise("nothing is defined"))?;
    let image = |component: &domain::application::Component| {
        (component.name.clone(), format!("{IMAGE}:{version}"))
    };
    let ask = DeploymentRequest {
        version: version.parse().map_err(|_| surprise("the version"))?,
        commit: None,
        notes: Some("the demo".to_owned()),
        images: definition.components.iter().map(image).collect(),
    };
    let path = format!("{}/deployments", application::path(&definition.name));
    local(stage)?
        .post(&path, &ask, Conditions::default())
        .await?
        .read()
}

/// Records the good version and waits until it is proved: last known good is never assumed.
async fn proved_good(stage: &Stage, out: &Out) -> Result<(), Failure> {
    let recorded = record(stage, GOOD).await?;
    let begin = Instant::now();
    while begin.elapsed() < GOOD_LIMIT {
        let now: DeploymentAnswer = local(stage)?
            .get(&format!("/api/v1/deployments/{}", recorded.id))
            .await?
            .read()?;
        match now.state {
            StateWord::Good => {
                out.say(&format!(
                    "     in the ledger, and proved good after {:.1} s",
                    begin.elapsed().as_secs_f32()
                ));
                return Ok(());
            }
            StateWord::Resolving | StateWord::Watching => tokio::time::sleep(LOOK_AGAIN).await,
            StateWord::Bad | StateWord::Unproved | StateWord::Refused => {
                return Err(surprise(&format!(
                    "{GOOD} is not good: {}",
                    now.said.unwrap_or_default()
                )));
            }
        }
    }
    Err(surprise(&format!(
        "{GOOD} was not proved good within {} s",
        GOOD_LIMIT.as_secs()
    )))
}

/// Waits until the main path answers so.
async fn answers(base: &str, status: u16) -> Result<Instant, Failure> {
    let http = traffic::http()?;
    let begin = Instant::now();
    let mut said = String::from("nothing was answered");
    while begin.elapsed() < ANSWERS_LIMIT {
        match http.get(format!("{base}/")).send().await {
            Ok(answer) if answer.status().as_u16() == status => return Ok(Instant::now()),
            Ok(answer) => said = format!("it answers {}", answer.status()),
            Err(error) => said = error.to_string(),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(surprise(&format!(
        "GET {base}/ should answer {status}: {said}"
    )))
}

async fn failing(traffic: &Traffic, since: Instant, out: &Out) -> Counts {
    tokio::time::sleep(SHOWN).await;
    let counts = traffic.counts(since);
    let all = counts.good + counts.bad + counts.nothing;
    let status = counts
        .status
        .map_or(String::new(), |status| format!(" with {status}"));
    out.say(&format!(
        "     {}",
        out.talk.bad(&format!(
            "{} of {all} requests of a client fail{status}",
            counts.bad
        ))
    ));
    counts
}

/// What the engine says of the broken version: why watching containers alone is not enough.
async fn looks_well(stage: &Stage, out: &Out) -> Result<(), Failure> {
    let definition = stage
        .application
        .as_ref()
        .ok_or_else(|| surprise("nothing is defined"))?;
    let unknown = |error: docker::Error| surprise(&format!("the engine can not be asked: {error}"));
    let request = docker::LookRequest {
        application: definition,
        images: &[],
        disk: false,
        paths: &[],
        specifications: false,
    };
    let look = docker::Engine::connect(&stage.docker_host)
        .map_err(unknown)?
        .look(&request)
        .await
        .map_err(unknown)?
        .look;
    let running = look
        .containers
        .iter()
        .filter(|container| container.runs())
        .count();
    let healthy = look
        .containers
        .iter()
        .filter(|container| container.health == Health::Healthy)
        .count();
    let all = look.containers.len();
    out.say(&format!("     yet the engine says: {running} of {all} containers run, {healthy} of them healthy by its own check"));
    Ok(())
}

async fn planned(api: &Client, stage: &Stage, out: &Out) -> Result<PlanAnswer, Failure> {
    let name = &stage
        .application
        .as_ref()
        .ok_or_else(|| surprise("nothing is defined"))?
        .name;
    let answer: PlanAnswer = plan::make(api, name, Target::LastKnownGood, StrategyArgs::default())
        .await?
        .read()?;
    let text = plan::text(&answer, out.talk);
    out.say(
        &text
            .lines()
            .map(|line| format!("     {line}"))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    if answer.to.as_str() != GOOD {
        return Err(surprise(&format!(
            "the last known good version should be {GOOD}, it is {}",
            answer.to
        )));
    }
    Ok(answer)
}

async fn rolled_back(
    api: &Client,
    plan: &PlanAnswer,
    traffic: &Traffic,
    out: &Out,
) -> Result<Story, Failure> {
    let note = format!("the demo: {BAD} answers 500 on its main path");
    let because = Because {
        reason: Reason::CriticalBug,
        note: Some(&note),
        ticked: &[],
        break_glass: None,
    };
    let asked = Instant::now();
    let accepted: RollbackAnswer = rollback::request(api, plan, &because).await?.read()?;
    let accepted_after = asked.elapsed();
    let header = format!("Rollback {} of {}", accepted.id, plan::move_words(plan));
    let titles = plan.steps.iter().map(|step| step.title.clone());
    let mut view = View::new(*out, Tree::new(header, titles));
    Follower::new(api, accepted.id, Until::Proof, false)
        .follow(&mut view)
        .await?;
    view.close();
    let rollback = answer(api, accepted.id, "").await?;
    if rollback.phase != PhaseWord::Watching && rollback.good != Some(true) {
        let why = rollback
            .cause
            .map_or(String::new(), |cause| format!(": {}", cause.sentence));
        return Err(surprise(&format!(
            "the rollback should have been proved, it is {}{why}",
            rollback.phase.word()
        )));
    }
    let first_good = traffic.first_good(asked).map(|at| at - asked);
    Ok(Story {
        asked,
        accepted_after,
        first_good,
        rollback,
        outage: Duration::ZERO,
        before: Counts::default(),
        after: Counts::default(),
    })
}

async fn answer(api: &Client, id: RollbackId, query: &str) -> Result<RollbackAnswer, Failure> {
    api.get(&format!("/api/v1/rollbacks/{id}{query}"))
        .await?
        .read()
}

/// Asks the application, not Sternway.
async fn prove(base: &str, out: &Out) -> Result<(), Failure> {
    let http = traffic::http()?;
    let unreachable =
        |error: reqwest::Error| surprise(&format!("the application does not answer: {error}"));
    let said: Value = http
        .get(format!("{base}/api/version"))
        .send()
        .await
        .map_err(unreachable)?
        .json()
        .await
        .map_err(unreachable)?;
    let version = said["version"].as_str().unwrap_or("nothing").to_owned();
    let status = http
        .get(format!("{base}/"))
        .send()
        .await
        .map_err(unreachable)?
        .status();
    if version != GOOD || status.as_u16() != 200 {
        return Err(surprise(&format!(
            "the proof failed: /api/version says {version}, GET / answers {status}"
        )));
    }
    out.say(&format!(
        "     {}",
        out.talk.good(&format!(
            "GET {base}/api/version says {version}; GET {base}/ answers {status}"
        ))
    ));
    Ok(())
}

/// Waits for the end of the watch window and counts what the client saw.
async fn settle(
    api: &Client,
    story: &mut Story,
    traffic: &Traffic,
    out: &Out,
) -> Result<(), Failure> {
    out.say(&format!(
        "     watching its probes for {WATCH_WINDOW_S} s ..."
    ));
    let id = story.rollback.id;
    let begin = Instant::now();
    while story.rollback.phase != PhaseWord::Ended && begin.elapsed() < GOOD_LIMIT {
        tokio::time::sleep(LOOK_AGAIN).await;
        story.rollback = answer(api, id, "").await?;
    }
    story.rollback = answer(api, id, "?verify=true").await?;
    if story.rollback.good != Some(true) {
        let why = story
            .rollback
            .cause
            .as_ref()
            .map_or(String::new(), |cause| format!(": {}", cause.sentence));
        return Err(surprise(&format!(
            "{GOOD} should have stayed green through its watch window{why}"
        )));
    }
    if story.rollback.log.intact != Some(true) {
        return Err(surprise("the rollback's log is not what was written"));
    }
    story.outage = traffic.outage(story.asked);
    story.first_good = story
        .first_good
        .or_else(|| traffic.first_good(story.asked).map(|at| at - story.asked));
    let proof = story.first_good.map_or(begin, |after| story.asked + after);
    story.after = traffic.counts(proof);
    Ok(())
}

fn surprise(what: &str) -> Failure {
    Failure::new(Exit::NotVerified, what, &[])
}
