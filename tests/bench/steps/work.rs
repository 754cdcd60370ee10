//! The rollbacks to drive: applications of two components, each its own, with a plan as the planner makes them.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::{
    application::Application,
    engine_look::{RestartPolicy, holdings::Needs},
    name::{
        Actor, ApplicationName, ComponentName, ContainerId, ImageId, RollbackId,
        SpecificationDigest,
    },
    plan::{PLAN_FORMAT, Plan, Strategy, Swap},
    reason::Reason,
    steps::Step,
    target::Target,
    time::{Millis, Moment},
};
use serde_json::json;
use store::{Idempotency, NewRollback, Requested, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Outcome;

const COMPONENTS: [&str; 2] = ["api", "worker"];
const REPLICAS: u32 = 3;
/// Requests under way at a time: as many as the store has connections.
const REQUESTS_AT_ONCE: usize = 8;

/// Effects of one of these rollbacks: lock and its return, two images, record, and of each of six replicas
/// capture, create, stop, start, two renames and removal.
pub(crate) const STEPS_OF_ONE: u64 = 2 + 2 + 1 + 6 * 7;

/// Applications, plans and requests for `count` rollbacks; `waiting` is how long each waits for approval, none
/// for those that start at once.
pub(crate) async fn request(
    store: &Store,
    names: &str,
    count: usize,
    waiting: Option<Millis>,
) -> Outcome<()> {
    let mut requests = JoinSet::new();
    for number in 0..count {
        if requests.len() >= REQUESTS_AT_ONCE {
            requests.join_next().await.transpose()?.transpose()?;
        }
        requests.spawn(request_one(
            store.clone(),
            format!("{names}-{number}"),
            waiting,
        ));
    }
    while let Some(requested) = requests.join_next().await {
        requested??;
    }
    Ok(())
}

async fn request_one(store: Store, name: String, waiting: Option<Millis>) -> Outcome<()> {
    let actor: Actor = "bench".parse()?;
    let application = application(&name.parse()?)?;
    store.application_put(&application, &actor, None).await?;
    let plan = plan(application)?;
    store.plan_put(&plan, &actor).await?;
    let at = now();
    let id = RollbackId(Uuid::now_v7());
    let ask = NewRollback {
        id,
        plan: &plan,
        requested_by: actor,
        reason: Reason::CriticalBug,
        note: None,
        ticked: Vec::new(),
        break_glass: None,
        idempotency: Idempotency {
            principal: "bench".to_owned(),
            key: id.to_string(),
            body_hash: vec![0; 32],
        },
        approval_until: waiting.map(|wait| at.after(wait)),
        at,
    };
    match store.rollback_request(&ask).await? {
        Requested::New => Ok(()),
        Requested::Replayed(earlier) => {
            Err(format!("{name} was requested before, as {earlier}").into())
        }
    }
}

/// Without probes, as the world that they would ask is a sham; without a watch window, so that it ends.
fn application(name: &ApplicationName) -> Outcome<Application> {
    let components: Vec<_> = COMPONENTS
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    let definition = json!({
        "name": name, "environment": "production", "project": name, "watch_window_s": 0, "components": components,
    });
    Ok(serde_json::from_value(definition)?)
}

fn plan(application: Application) -> Outcome<Plan> {
    let (bad, good) = (image("b"), image("a"));
    let (bad, good) = (bad?, good?);
    let components: Vec<ComponentName> = application
        .components
        .iter()
        .map(|part| part.name.clone())
        .collect();
    let mut swaps = Vec::new();
    for component in &components {
        for replica in 1..=REPLICAS {
            swaps.push(Swap {
                ends: None,
                component: component.clone(),
                replica,
                name: format!("{}-{component}-{replica}", application.name),
                former: container_id(swaps.len() as u64),
                former_image: bad.clone(),
                former_runs: true,
                former_restart: RestartPolicy {
                    name: "unless-stopped".to_owned(),
                    retries_max: 0,
                },
                stop_grace_s: 10,
                image: good.clone(),
                specification: specification()?,
                leftovers: Vec::new(),
                ports: Vec::new(),
                binds: Vec::new(),
                needs: Needs::default(),
                joins: Vec::new(),
                server: None,
            });
        }
    }
    let each = |step: fn(ComponentName) -> Step| components.iter().cloned().map(step);
    let mut steps = vec![Step::Check, Step::Lock, Step::Keep, Step::Capture];
    steps.extend(each(|component| Step::Create { component }));
    steps.extend(each(|component| Step::Switch { component }));
    steps.extend([Step::Prove, Step::Record, Step::Retire]);
    Ok(Plan {
        manners: Vec::new(),
        format: PLAN_FORMAT,
        strategy: Strategy::Quick,
        source: None,
        application,
        target: Target::LastKnownGood,
        from: Some("1.5.0".parse()?),
        to: "1.4.2".parse()?,
        deployment: Uuid::now_v7(),
        swaps,
        settled: Vec::new(),
        supplies: Vec::new(),
        keep: vec![bad, good],
        disk_free_min: 0,
        project: None,
        steps,
    })
}

pub(crate) fn container_id(number: u64) -> ContainerId {
    format!("{number:064x}")
        .parse()
        .expect("64 hex digits are a container's id")
}

fn image(digit: &str) -> Outcome<ImageId> {
    Ok(format!("sha256:{}", digit.repeat(64)).parse()?)
}

fn specification() -> Outcome<SpecificationDigest> {
    Ok("c".repeat(64).parse()?)
}

fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
