//! A deployment that CI or GitHub tells of, on its way into the ledger.

use domain::{
    ledger::DeploymentKind,
    name::{Actor, ApplicationName},
    trigger::sort::Deployment,
};
use sha2::{Digest as _, Sha256};
use store::{DeploymentFilter, Due, Error, Idempotency, NewDeployment, Page, Store};
use uuid::Uuid;

use crate::world::StoreAway;

/// Entries of the ledger among which the newest one that somebody told is looked for.
const LOOKED_BACK: u32 = 10;

/// The deployment and the message that told of it.
pub(super) struct Ledger<'a> {
    pub(super) store: &'a Store,
    pub(super) due: &'a Due,
    pub(super) told: &'a Deployment,
}

/// What came of it.
pub(super) enum Recorded {
    In { id: Uuid, said: String },
    Not { code: &'static str, said: String },
}

impl Ledger<'_> {
    /// Writes it as `record-deploy` does. The key is the deployment's own, so that telling it twice is telling it once.
    pub(super) async fn record(&self, name: &ApplicationName) -> Result<Recorded, StoreAway> {
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
        let images = match told.images_of(&application) {
            Ok(images) => images,
            Err((code, said)) => return not(code, said),
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
