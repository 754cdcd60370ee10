//! What triggers told us: read, and brought to what comes of it. Everything that it goes by is a row, so a message is
//! decided once, however many workers look and however often they die.

use std::time::Duration;

use domain::{
    ledger::DeploymentKind,
    name::{Actor, ApplicationName},
    trigger::sort::{Deployment, Matter, Part, sorted},
};
use metrics::counter;
use sha2::{Digest as _, Sha256};
use store::{
    DecisionOutcome, DeploymentFilter, Due, Error, Idempotency, NewDecision, NewDeployment, Page,
    Store, Topic, Wake,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{metric, world::StoreAway};

/// The truth is polled; a wake-up only saves the waiting.
const POLL: Duration = Duration::from_millis(250);
/// Messages taken in one turn.
const AT_ONCE: u32 = 32;
/// How long a message is ours: a worker that dies leaves it to others this much later.
const LEASE: Duration = Duration::from_secs(10);
/// How often a message is tried before it is put down as one that can not be decided. A database that is away is no try.
const TRIES_MAX: i32 = 8;
/// Entries of the ledger among which the newest one that somebody told is looked for.
const LOOKED_BACK: u32 = 10;

pub(crate) async fn run(store: Store, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Work);
    while !shutdown.is_cancelled() {
        match store.inbox_due(AT_ONCE, LEASE).await {
            Ok(due) => {
                let more = !due.is_empty();
                for message in &due {
                    decide(&store, message).await;
                }
                if more {
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "can not read what triggers told; trying again"),
        }
        tokio::select! {
            () = wakes.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Decides one message. What fails now is due again when its lease is over.
async fn decide(store: &Store, due: &Due) {
    let trigger = &due.trigger.name;
    let decisions = match decisions(store, due).await {
        Ok(decisions) => decisions,
        Err(StoreAway(error)) if error.passes() || due.tries < TRIES_MAX => {
            return tracing::warn!(%trigger, %error, "a message could not be decided; trying again");
        }
        Err(StoreAway(error)) => {
            tracing::error!(%trigger, %error, "a message can not be decided and is put down");
            let said = format!("it could not be decided: {error}");
            vec![put_down("undecidable", said)]
        }
    };
    match store
        .decisions_put(trigger, &due.event_id, &decisions)
        .await
    {
        Ok(true) => {
            for decision in &decisions {
                counter!(metric::DECISIONS, "outcome" => decision.outcome.word()).increment(1);
                let (code, said) = (&decision.code, &decision.said);
                let application = decision.application.as_ref().map(ToString::to_string);
                tracing::info!(%trigger, application, code, said, "a message was decided");
            }
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(%trigger, %error, "a decision was not written; trying again"),
    }
}

fn put_down(code: &str, said: String) -> NewDecision {
    NewDecision {
        application: None,
        outcome: DecisionOutcome::Recorded,
        code: code.to_owned(),
        said,
        notice: serde_json::Value::Null,
        deployment: None,
    }
}

async fn decisions(store: &Store, due: &Due) -> Result<Vec<NewDecision>, StoreAway> {
    if due.removed {
        return Ok(vec![put_down(
            "trigger_removed",
            "its trigger was taken out".to_owned(),
        )]);
    }
    let mut decisions = Vec::new();
    for part in sorted(&due.trigger, &due.headers, &due.body) {
        decisions.push(decision(store, due, part).await?);
    }
    Ok(decisions)
}

async fn decision(store: &Store, due: &Due, part: Part) -> Result<NewDecision, StoreAway> {
    let written = |outcome, code: &str, said: String, deployment| NewDecision {
        application: part.application.clone(),
        outcome,
        code: code.to_owned(),
        said,
        notice: part.notice.clone(),
        deployment,
    };
    let as_said = |outcome| written(outcome, part.code, part.said.clone(), None);
    match &part.matter {
        Matter::Nothing => Ok(as_said(DecisionOutcome::Noted)),
        Matter::Known | Matter::Alert(_) => Ok(as_said(DecisionOutcome::Recorded)),
        Matter::Deployment(told) => {
            let ledger = Ledger { store, due, told };
            let Some(application) = &part.application else {
                return Ok(as_said(DecisionOutcome::Recorded));
            };
            Ok(match ledger.record(application).await? {
                Recorded::In { id, said } => {
                    written(DecisionOutcome::Deployed, "deployed", said, Some(id))
                }
                Recorded::Not { code, said } => {
                    written(DecisionOutcome::Recorded, code, said, None)
                }
            })
        }
    }
}

/// A deployment on its way into the ledger.
struct Ledger<'a> {
    store: &'a Store,
    due: &'a Due,
    told: &'a Deployment,
}

enum Recorded {
    In { id: Uuid, said: String },
    Not { code: &'static str, said: String },
}

impl Ledger<'_> {
    /// Writes it as `record-deploy` does. The key is the deployment's own, so that telling it twice is telling it once.
    async fn record(&self, name: &ApplicationName) -> Result<Recorded, StoreAway> {
        let (store, told) = (self.store, self.told);
        let not = |code, said: String| Ok(Recorded::Not { code, said });
        let application = match store.application_get(name).await {
            Ok((application, _)) => application,
            Err(Error::NotFound(_)) => {
                let said = format!("the route leads to {name}, which is no application here");
                return not("unknown_application", said);
            }
            Err(error) => return Err(StoreAway(error)),
        };
        let components = application
            .components
            .iter()
            .map(|component| &component.name);
        let Some(images) = told.images_for(&components.collect::<Vec<_>>()) else {
            let said = format!(
                "it names no image for the components of {name}, or one of another component"
            );
            return not("no_image", said);
        };
        let actor = self.actor();
        let mut hash = Sha256::new();
        hash.update(serde_json::json!([name, told.version, told.commit, images]).to_string());
        let new = NewDeployment {
            id: Uuid::now_v7(),
            application: name.clone(),
            version: told.version.clone(),
            commit: told.commit.clone(),
            notes: told.notes.clone(),
            images,
            actor: actor.clone(),
            idempotency: Some(Idempotency {
                principal: actor.to_string(),
                // Keys are short; a sender's own may be long.
                key: domain::chain::sha256_hex(&[told.key.as_bytes()]),
                body_hash: hash.finalize().to_vec(),
            }),
        };
        if let Some(said) = self.late(name).await? {
            return not("late", said);
        }
        match store.deployment_record(&new).await {
            Ok(recorded) => {
                let how = if recorded.new { "is in" } else { "was in" };
                let said = format!("{} {how} the ledger of {name}", told.version);
                Ok(Recorded::In {
                    id: recorded.id,
                    said,
                })
            }
            Err(Error::IdempotencyMismatch) => {
                let said = "it was told before with another version or other images".to_owned();
                not("contradicts", said)
            }
            Err(Error::NotFound(_)) => not("unknown_application", format!("{name} was taken out")),
            Err(error) => Err(StoreAway(error)),
        }
    }

    /// A message that comes after a newer deployment would turn the ledger round.
    async fn late(&self, name: &ApplicationName) -> Result<Option<String>, StoreAway> {
        let page = Page {
            after: None,
            limit: LOOKED_BACK,
        };
        let any = DeploymentFilter::default();
        let listed = self.store.deployment_list(name, &any, &page).await;
        let listed = listed.map_err(StoreAway)?.items;
        // What was detected is this very deployment, seen before it was told.
        let newest = listed
            .into_iter()
            .find(|one| one.kind != DeploymentKind::Detected);
        let Some(newest) = newest.filter(|newest| newest.version != self.told.version) else {
            return Ok(None);
        };
        // Where a message told of it, by its sender's clock too: ours says only when we wrote it down.
        let told = self.store.deployment_told_at(name, newest.id).await;
        let deployed_at = told.map_err(StoreAway)?.unwrap_or(newest.deployed_at);
        Ok((deployed_at > self.told.at).then(|| {
            format!(
                "it tells of {}, and {} was deployed after that, at {deployed_at}",
                self.told.at, newest.version
            )
        }))
    }

    fn actor(&self) -> Actor {
        let text = format!("trigger:{}", self.due.trigger.name);
        text.parse().expect("a name behind a word is an actor")
    }
}
