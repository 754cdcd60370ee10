//! A worker of cardboard: it answers questions from an engine that is only data, and walks a rollback when told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    effect::{Effect, Outcome},
    engine_look::{
        Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, RestartPolicy,
    },
    lifecycle::{Event, Run},
    name::{ContainerId, ImageId, RollbackId, Version},
    plan::{PLAN_FORMAT, Plan},
    probe::Tally,
    seen::Seen,
    source::{Tag, TagsSeen},
    steps::Step,
    time::Moment,
    triage::Evidence,
    verdict::Verdict,
};
use serde_json::json;
use store::{AppendMeta, DeployedComponent, HealthUpdate, Held, Question, Store, Worker};
use uuid::Uuid;

/// What the engine is said to be.
pub(crate) struct Engine {
    /// The version that runs.
    pub(crate) runs: Version,
    /// Why it can not be looked at.
    pub(crate) away: Option<String>,
    /// Whether anybody answers.
    deaf: bool,
    /// What the repository has.
    pub(crate) tags: Vec<Tag>,
    /// What metrics and probes say.
    pub(crate) facts: Vec<Evidence>,
}

/// The worker.
#[derive(Clone)]
pub(crate) struct Cardboard {
    pub(crate) engine: Arc<Mutex<Engine>>,
    /// Held while it answers.
    turn: Arc<tokio::sync::Mutex<()>>,
    store: Store,
    worker: Worker,
}

pub(crate) fn now() -> Moment {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Moment::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

/// The image of a version; versions with `gone` in them have none.
fn image(version: &str) -> Option<ImageId> {
    let hex = domain::chain::sha256_hex(&[version.as_bytes()]);
    (!version.contains("gone")).then(|| format!("sha256:{hex}").parse().unwrap())
}

impl Cardboard {
    pub(crate) fn start(store: Store) -> Self {
        let runs = "1.5.0".parse().unwrap();
        let engine = Arc::new(Mutex::new(Engine {
            runs,
            away: None,
            deaf: false,
            tags: Vec::new(),
            facts: Vec::new(),
        }));
        let (id, host) = (Uuid::now_v7(), Uuid::now_v7());
        let worker = Worker {
            id,
            host,
            version: "0".to_owned(),
            plan_format_max: PLAN_FORMAT,
        };
        let cardboard = Self {
            engine,
            turn: Arc::default(),
            store,
            worker,
        };
        tokio::spawn(cardboard.clone().live());
        cardboard
    }

    /// From now on nobody answers: what it was at is done first.
    pub(crate) async fn goes_deaf(&self) {
        let _turn = self.turn.lock().await;
        self.engine.lock().unwrap().deaf = true;
    }

    async fn live(self) {
        loop {
            let turn = self.turn.lock().await;
            let deaf = self.engine.lock().unwrap().deaf;
            if !deaf {
                for (id, question) in self.store.inquiries_open(10).await.unwrap_or_default() {
                    let _ = self.store.inquiry_answer(id, &self.answer(&question)).await;
                }
                self.resolve().await;
            }
            drop(turn);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn answer(&self, question: &Question) -> Result<serde_json::Value, String> {
        let engine = self.engine.lock().unwrap();
        if let Some(why) = &engine.away {
            return Err(why.clone());
        }
        match question {
            Question::Application { .. } => {
                Ok(serde_json::to_value(look(engine.runs.as_str())).unwrap())
            }
            Question::Project { project, .. } if project.as_str() == "nothing" => {
                Err("there is no project `nothing`; there is `shop`".to_owned())
            }
            Question::Project { .. } => {
                Ok(json!({"application": shop("shop"), "notes": ["two replicas"]}))
            }
            Question::Images { references, .. } => {
                let of = |reference: &String| (reference.clone(), json!(image(tag(reference))));
                Ok(references
                    .iter()
                    .map(of)
                    .collect::<serde_json::Map<_, _>>()
                    .into())
            }
            Question::Facts { .. } => Ok(json!(engine.facts)),
            Question::Alert { .. } => Err("nobody looks here".to_owned()),
            Question::Tags { only, .. } => {
                let mut tags = engine.tags.clone();
                tags.retain(|tag| only.as_ref().is_none_or(|only| tag.name == *only));
                Ok(serde_json::to_value(TagsSeen { tags, more: false }).unwrap())
            }
        }
    }

    async fn resolve(&self) {
        for work in self
            .store
            .deployments_due(10, Duration::from_secs(5))
            .await
            .unwrap_or_default()
        {
            if !work.components.is_empty() {
                continue;
            }
            let missing = work
                .images
                .iter()
                .find(|(_, reference)| image(tag(reference)).is_none());
            if let Some((component, reference)) = missing {
                let said = format!("image `{reference}` of {component} is not on the engine");
                self.store.deployment_refused(work.id, &said).await.unwrap();
                continue;
            }
            let components = work.images.iter().map(|(component, reference)| {
                let image = image(tag(reference)).unwrap();
                (
                    component.clone(),
                    DeployedComponent {
                        image,
                        reference: reference.clone(),
                        digests: Vec::new(),
                        architecture: None,
                        bytes: None,
                        specification: None,
                    },
                )
            });
            self.store
                .deployment_resolved(work.id, &components.collect())
                .await
                .unwrap();
        }
    }

    pub(crate) async fn judge_good(&self, deployment: Uuid) {
        self.judge(deployment, domain::ledger::Health::Good, None)
            .await;
    }

    pub(crate) async fn judge(
        &self,
        deployment: Uuid,
        health: domain::ledger::Health,
        said: Option<&str>,
    ) {
        let update = HealthUpdate {
            health,
            green_since: None,
            red_since: None,
            watch_until: None,
            said: said.map(str::to_owned),
            wake_at: None,
        };
        assert!(
            self.store
                .deployment_health(deployment, &update)
                .await
                .unwrap()
        );
    }

    /// Claims a rollback.
    pub(crate) async fn claim(&self, id: RollbackId) -> Hand {
        for _ in 0..200 {
            let claims = self
                .store
                .claim(&self.worker, 10, Duration::from_secs(60))
                .await
                .unwrap();
            if let Some(claim) = claims.into_iter().find(|claim| claim.rollback == id) {
                return Hand {
                    held: claim.held(),
                    plan: claim.plan,
                    run: claim.run,
                    store: self.store.clone(),
                };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("rollback {id} is not due");
    }
}

fn tag(reference: &str) -> &str {
    reference.rsplit_once(':').map_or(reference, |(_, tag)| tag)
}

/// One claimed run.
pub(crate) struct Hand {
    held: Held,
    pub(crate) plan: Plan,
    run: Run,
    store: Store,
}

impl Hand {
    pub(crate) async fn append(&mut self, events: Vec<Event>) {
        let at = now();
        for event in &events {
            self.run = self.run.clone().evolve(&self.plan, event, at).unwrap();
        }
        let actor: domain::name::Actor = "sternway".parse().unwrap();
        let entries: Vec<_> = events
            .into_iter()
            .map(|event| (at, actor.clone(), event))
            .collect();
        let meta = AppendMeta {
            lease: Duration::from_secs(60),
            ..AppendMeta::default()
        };
        let appended = self
            .store
            .append(&self.held, &entries, &self.run, &meta)
            .await
            .unwrap();
        self.held.seq = appended.seq;
        self.held.head = appended.head;
    }

    /// One step with an act in it.
    pub(crate) async fn step(&mut self) {
        let effect = Effect::StopContainer {
            container: self.plan.swaps[0].former.clone(),
            grace_s: 10,
        };
        let checks = matches!(self.run.step(&self.plan), Some(Step::Prove))
            .then_some(Tally { green: 2, asked: 2 });
        let acts = vec![
            Event::Intended { effect },
            Event::Performed {
                outcome: Outcome::Done,
            },
        ];
        self.append(acts).await;
        self.append(vec![Event::StepDone {
            note: "as wanted".to_owned(),
            checks,
            built: None,
        }])
        .await;
    }

    pub(crate) async fn walk_to_watch(&mut self) {
        for _ in 0..self.plan.steps.len() {
            self.step().await;
        }
    }

    pub(crate) async fn end(&mut self) {
        let verdict = Verdict::RolledBack {
            good: true,
            notes: Vec::new(),
        };
        self.append(vec![Event::Ended { verdict }]).await;
    }
}

pub(crate) fn shop(name: &str) -> serde_json::Value {
    json!({"name": name, "environment": "production", "project": "shop",
           "components": [{"name": "api", "probes": [{"kind": "http", "port": 8080, "path": "/health"}]}]})
}

fn look(runs: &str) -> EngineLook {
    let facts = || {
        Seen::Known(ImageFacts {
            tags: Vec::new(),
            digests: Vec::new(),
            bytes: 1,
            architecture: "amd64".to_owned(),
        })
    };
    let versions = ["1.3.0", "1.4.2", "1.5.0", "1.6.0"];
    EngineLook {
        at: now(),
        engine: EngineFacts {
            name: "here".to_owned(),
            version: "20.10.24".to_owned(),
            api_version: "1.41".to_owned(),
            disk_free: Seen::Known(1 << 40),
        },
        containers: vec![container(runs)],
        images: versions
            .iter()
            .map(|version| (image(version).unwrap(), facts()))
            .collect(),
        sources: BTreeMap::new(),
        names: BTreeMap::new(),
        kept: BTreeMap::new(),
        lock: None,
        guests: BTreeMap::new(),
        taken: Vec::new(),
        paths: BTreeMap::new(),
        has: None,
        project: None,
        stages: Vec::new(),
        internal: std::collections::BTreeSet::new(),
        neighbours: Vec::new(),
        fronts: BTreeMap::new(),
    }
}

fn container(runs: &str) -> Container {
    let id: ContainerId = domain::chain::sha256_hex(&[b"container", runs.as_bytes()])
        .parse()
        .unwrap();
    Container {
        id,
        name: "shop-api-1".to_owned(),
        component: "api".parse().unwrap(),
        replica: 1,
        image: image(runs).unwrap(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Moment::from_unix_ms(1)),
        restarts: 0,
        exit_code: 0,
        restart: RestartPolicy {
            name: "no".to_owned(),
            retries_max: 0,
        },
        address: None,
        auto_remove: false,
        joins: Vec::new(),
        stop_grace_s: 10,
        mark: None,
        specification: Some("5".repeat(64).parse().unwrap()),
        env: BTreeMap::new(),
        commands: None,
        shape: None,
        live: domain::engine_look::Live::default(),
    }
}
