//! A house for each test, and short words for what tests do with it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use domain::{
    application::Application,
    effect::Effect,
    engine_look::{RestartPolicy, holdings::Needs},
    lifecycle::{Event, Run},
    name::{
        Actor, ApplicationName, ComponentName, ContainerId, ImageId, RollbackId,
        SpecificationDigest,
    },
    plan::{PLAN_FORMAT, Plan, Strategy, Swap},
    reason::Reason,
    steps::Step,
    target::Target,
    time::{Millis, Moment},
    verdict::Verdict,
};
use serde_json::json;
use sqlx::PgPool;
use store::{
    AppendMeta, Appended, Claimed, DeployedComponent, Error, HealthUpdate, Held, Idempotency,
    NewDeployment, NewRollback, PgConnectOptions, Requested, SecretKey, Store, StoreSettings, Wake,
    Worker,
};
use uuid::Uuid;

use crate::databases::{clone_of_template, options_of, server};

/// A lease that no test outlives by accident.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) options: PgConnectOptions,
    pub(crate) database: String,
    /// Raw access, for what the store does not offer.
    pub(crate) pool: PgPool,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with_connections(8).await
    }

    pub(crate) async fn with_connections(connections: u32) -> Self {
        let database = clone_of_template().await;
        let options = options_of(server(), &database);
        Self::at(options, database, connections).await
    }

    pub(crate) async fn at(options: PgConnectOptions, database: String, connections: u32) -> Self {
        let settings = StoreSettings {
            connections,
            ..StoreSettings::default()
        };
        let store = Store::connect(options.clone(), settings, key(1), Wake::default())
            .await
            .unwrap();
        let pool = PgPool::connect_lazy_with(options.clone());
        Self {
            store,
            options,
            database,
            pool,
        }
    }

    /// The same database through another process's eyes.
    pub(crate) async fn other_process(&self, key: SecretKey) -> Store {
        Store::connect(
            self.options.clone(),
            StoreSettings::default(),
            key,
            Wake::default(),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn application(&self, name: &str) -> Application {
        let application = shop(name);
        self.store
            .application_put(&application, &ana(), None)
            .await
            .unwrap();
        application
    }

    /// A deployment with its image known, being watched.
    pub(crate) async fn deploy(
        &self,
        application: &Application,
        version: &str,
        digit: char,
    ) -> Uuid {
        let new = report(application, version);
        let recorded = self.store.deployment_record(&new).await.unwrap();
        assert!(recorded.new);
        self.store
            .deployment_resolved(recorded.id, &components(digit))
            .await
            .unwrap();
        recorded.id
    }

    pub(crate) async fn judge(&self, deployment: Uuid, health: domain::ledger::Health) {
        let update = HealthUpdate {
            health,
            green_since: None,
            red_since: None,
            watch_until: None,
            said: None,
            wake_at: None,
        };
        assert!(
            self.store
                .deployment_health(deployment, &update)
                .await
                .unwrap()
        );
    }

    /// An application with a stored plan from 1.5.0 back to 1.4.2.
    pub(crate) async fn planned(&self, name: &str) -> Plan {
        let application = self.application(name).await;
        let target = self.deploy(&application, "1.4.2", 'a').await;
        self.deploy(&application, "1.5.0", 'b').await;
        let plan = plan(application, target);
        self.store.plan_put(&plan, &ana()).await.unwrap();
        plan
    }

    pub(crate) async fn request(&self, plan: &Plan) -> RollbackId {
        let id = RollbackId(Uuid::now_v7());
        let requested = self
            .store
            .rollback_request(&ask(plan, id, &id.to_string()))
            .await
            .unwrap();
        assert_eq!(requested, Requested::New);
        id
    }

    /// An application of its own, a rollback of it, claimed by a worker.
    pub(crate) async fn claimed(&self, name: &str, worker: &Worker) -> Claimed {
        let plan = self.planned(name).await;
        let id = self.request(&plan).await;
        self.claim_one(worker, id, LEASE).await
    }

    pub(crate) async fn claim_one(
        &self,
        worker: &Worker,
        id: RollbackId,
        lease: Duration,
    ) -> Claimed {
        let mut claims = self.store.claim(worker, 10, lease).await.unwrap();
        let at = claims
            .iter()
            .position(|claim| claim.rollback == id)
            .expect("the run is due");
        claims.swap_remove(at)
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn raw(&self, sql: impl Into<String>) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into()))
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

/// A run as its holder sees it: it appends and keeps what came of it.
pub(crate) struct Hand {
    pub(crate) held: Held,
    pub(crate) plan: Plan,
    pub(crate) run: Run,
}

impl Hand {
    pub(crate) fn of(claimed: &Claimed) -> Self {
        Self {
            held: claimed.held(),
            plan: claimed.plan.clone(),
            run: claimed.run.clone(),
        }
    }

    pub(crate) async fn append(
        &mut self,
        store: &Store,
        events: Vec<Event>,
    ) -> Result<Appended, Error> {
        self.append_with(
            store,
            events,
            AppendMeta {
                lease: LEASE,
                ..AppendMeta::default()
            },
        )
        .await
    }

    pub(crate) async fn append_with(
        &mut self,
        store: &Store,
        events: Vec<Event>,
        meta: AppendMeta,
    ) -> Result<Appended, Error> {
        let (run, entries) = self.after(events);
        let appended = store.append(&self.held, &entries, &run, &meta).await?;
        self.run = run;
        self.held.seq = appended.seq;
        self.held.head = appended.head;
        Ok(appended)
    }

    pub(crate) fn after(&self, events: Vec<Event>) -> (Run, Vec<(Moment, Actor, Event)>) {
        let at = now();
        let mut run = self.run.clone();
        for event in &events {
            run = run.evolve(&self.plan, event, at).unwrap();
        }
        let entries = events
            .into_iter()
            .map(|event| (at, actor("sternway"), event))
            .collect();
        (run, entries)
    }

    /// Walks every step to the watch window.
    pub(crate) async fn walk_to_watch(&mut self, store: &Store) {
        for at in 0..self.plan.steps.len() {
            match self.plan.steps[at] {
                Step::Switch { .. } => {
                    let container = self.plan.swaps[0].former.clone();
                    let effect = Effect::StopContainer {
                        container,
                        grace_s: 10,
                    };
                    self.append(store, vec![Event::Intended { effect }])
                        .await
                        .unwrap();
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                Step::Record => store.record(&self.held, Uuid::now_v7()).await.unwrap(),
                Step::Check
                | Step::Build { .. }
                | Step::Lock
                | Step::Supply
                | Step::Pin
                | Step::Keep
                | Step::Capture
                | Step::Create { .. }
                | Step::Stage { .. }
                | Step::Handover { .. }
                | Step::Raise { .. }
                | Step::Point { .. }
                | Step::Wave { .. }
                | Step::Prove
                | Step::Retire => {}
            }
            let done = Event::StepDone {
                note: format!("step {at}"),
                checks: None,
                built: None,
            };
            self.append(store, vec![done]).await.unwrap();
        }
    }

    pub(crate) async fn end(&mut self, store: &Store, verdict: Verdict) {
        self.append(store, vec![Event::Ended { verdict }])
            .await
            .unwrap();
    }
}

pub(crate) fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32])
}

pub(crate) fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Moment::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

pub(crate) fn in_ms(ms: u64) -> Moment {
    now().after(Millis(ms))
}

pub(crate) fn actor(name: &str) -> Actor {
    name.parse().unwrap()
}

pub(crate) fn ana() -> Actor {
    actor("ana")
}

pub(crate) fn component() -> ComponentName {
    "api".parse().unwrap()
}

pub(crate) fn named(name: &str) -> ApplicationName {
    name.parse().unwrap()
}

pub(crate) fn image(digit: char) -> ImageId {
    format!("sha256:{}", digit.to_string().repeat(64))
        .parse()
        .unwrap()
}

pub(crate) fn container(digit: char) -> ContainerId {
    digit.to_string().repeat(64).parse().unwrap()
}

pub(crate) fn worker() -> Worker {
    Worker {
        id: Uuid::now_v7(),
        host: Uuid::now_v7(),
        version: "0.1.0".to_owned(),
        plan_format_max: PLAN_FORMAT,
    }
}

pub(crate) fn shop(name: &str) -> Application {
    let definition = json!({"name": name, "environment": "production", "project": name,
                            "components": [{"name": "api"}]});
    serde_json::from_value(definition).unwrap()
}

pub(crate) fn components(digit: char) -> BTreeMap<ComponentName, DeployedComponent> {
    let deployed = DeployedComponent {
        image: image(digit),
        reference: format!("shop:{digit}"),
        digests: Vec::new(),
        architecture: None,
        bytes: None,
        specification: None,
    };
    BTreeMap::from([(component(), deployed)])
}

pub(crate) fn report(application: &Application, version: &str) -> NewDeployment {
    NewDeployment {
        id: Uuid::now_v7(),
        application: application.name.clone(),
        version: version.parse().unwrap(),
        commit: Some("c0ffee".to_owned()),
        notes: None,
        images: BTreeMap::from([(component(), format!("shop:{version}"))]),
        actor: actor("service:ci"),
        idempotency: None,
    }
}

pub(crate) fn plan(application: Application, target: Uuid) -> Plan {
    let specification: SpecificationDigest = "5".repeat(64).parse().unwrap();
    let swap = Swap {
        ends: None,
        server: None,
        component: component(),
        replica: 1,
        name: "shop-api-1".to_owned(),
        former: container('f'),
        former_image: image('b'),
        former_runs: true,
        former_restart: RestartPolicy {
            name: "no".to_owned(),
            retries_max: 0,
        },
        stop_grace_s: 10,
        image: image('a'),
        specification,
        leftovers: Vec::new(),
        ports: Vec::new(),
        binds: Vec::new(),
        needs: Needs::default(),
        joins: Vec::new(),
    };
    Plan {
        manners: Vec::new(),
        format: PLAN_FORMAT,
        strategy: Strategy::Quick,
        source: None,
        application,
        target: Target::LastKnownGood,
        from: Some("1.5.0".parse().unwrap()),
        to: "1.4.2".parse().unwrap(),
        deployment: target,
        swaps: vec![swap],
        settled: Vec::new(),
        supplies: Vec::new(),
        keep: vec![image('a'), image('b')],
        disk_free_min: 0,
        project: None,
        steps: vec![
            Step::Check,
            Step::Lock,
            Step::Keep,
            Step::Capture,
            Step::Create {
                component: component(),
            },
            Step::Switch {
                component: component(),
            },
            Step::Prove,
            Step::Record,
            Step::Retire,
        ],
    }
}

pub(crate) fn ask<'a>(plan: &'a Plan, id: RollbackId, key: &str) -> NewRollback<'a> {
    NewRollback {
        id,
        plan,
        requested_by: ana(),
        reason: Reason::HealthChecks,
        note: Some("the front page answers 500".to_owned()),
        ticked: Vec::new(),
        break_glass: None,
        idempotency: Idempotency {
            principal: "token:1".to_owned(),
            key: key.to_owned(),
            body_hash: vec![9; 32],
        },
        approval_until: None,
        at: now(),
    }
}
