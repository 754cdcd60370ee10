//! The effect `record`: the rollback in the ledger, and the hold of the release that was rolled back.

use std::collections::BTreeMap;

use domain::{
    lifecycle::Run,
    name::{Actor, ComponentName, RollbackId},
    plan::Plan,
    steps::Reported,
    time::Millis,
};
use serde_json::json;
use sqlx::{PgTransaction, types::Json};
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    facts::DeployedComponent,
    ledger::request_hash,
    plans,
    runs::Held,
    wake::Topic,
};

#[derive(sqlx::FromRow)]
struct Source {
    requested_by: String,
    reason: String,
    note: Option<String>,
    plan_digest: String,
    plan: String,
    state: Json<Run>,
}

#[derive(sqlx::FromRow)]
struct Target {
    commit_id: Option<String>,
    notes: Option<String>,
    images: Json<BTreeMap<ComponentName, String>>,
    components: Json<BTreeMap<ComponentName, DeployedComponent>>,
}

impl Store {
    /// Writes the rollback into the ledger, watching, and holds the release that was rolled back; one that undoes
    /// another holds nothing and releases what that one held. Doing it again
    /// changes nothing. `deployment` is the entry's identity when it is new.
    ///
    /// # Errors
    /// [`Error::Fenced`], or as every store function.
    pub async fn record(&self, held: &Held, deployment: Uuid) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let source = hold_claim(&mut tx, held).await?;
            let plan = plans::parse(&source.plan_digest, &source.plan)?;
            let plan = plan.as_built(&source.state.built);
            if insert(&mut tx, held.rollback, deployment, &source, &plan).await? {
                match plan.target.undoes() {
                    None => hold_former(&mut tx, held.rollback, &source, &plan).await?,
                    Some(undone) => release_hold_of(&mut tx, undone, &source, &plan).await?,
                }
            }
            tx.commit().await?;
            Ok(())
        })
        .await?;
        self.wake.notify(Topic::Events);
        Ok(())
    }

    /// The newest deployment that came into the ledger after a rollback's own entry, of those whose images are known.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployed_after(&self, rollback: RollbackId) -> Result<Option<Reported>> {
        type Row = (String, Json<BTreeMap<ComponentName, DeployedComponent>>);
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select n.version, f.components
                 from deployment d
                 join deployment n on n.application = d.application and (n.deployed_at, n.id) > (d.deployed_at, d.id)
                 join deployment_fact f on f.deployment_id = n.id
                 where d.rollback_id = $1 and f.state not in ('refused', 'resolving')
                 order by n.deployed_at desc, n.id desc limit 1",
            )
            .bind(rollback.0)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let reported = |(version, components): Row| {
            let version = version
                .parse()
                .map_err(|error| corrupt("deployment", error))?;
            let images = components.0.into_values().map(|part| part.image).collect();
            Ok(Reported { version, images })
        };
        row.map(reported).transpose()
    }

    /// Whether a rollback is in the ledger.
    ///
    /// # Errors
    /// As every store function.
    pub async fn recorded(&self, rollback: RollbackId) -> Result<bool> {
        timed(async {
            Ok(
                sqlx::query_scalar("select exists (select from deployment where rollback_id = $1)")
                    .bind(rollback.0)
                    .fetch_one(&self.pool)
                    .await?,
            )
        })
        .await
    }
}

/// Locks the run's row while the claim is ours: no newer claim can be made before we commit.
async fn hold_claim(tx: &mut PgTransaction<'_>, held: &Held) -> Result<Source> {
    let source: Option<Source> = sqlx::query_as(
        "select q.requested_by, q.reason, q.note, q.plan_digest, p.body as plan, r.state
         from rollback_run r join rollback q on q.id = r.rollback_id join plan p on p.digest = q.plan_digest
         where r.rollback_id = $1 and r.fence = $2 and r.lease_until > now()
         for no key update of r",
    )
    .bind(held.rollback.0)
    .bind(held.fence.0)
    .fetch_optional(&mut **tx)
    .await?;
    source.ok_or(Error::Fenced)
}

async fn insert(
    tx: &mut PgTransaction<'_>,
    rollback: RollbackId,
    deployment: Uuid,
    source: &Source,
    plan: &Plan,
) -> Result<bool> {
    let target: Option<Target> = sqlx::query_as(
        "select d.commit_id, d.notes, d.images, f.components
         from deployment d join deployment_fact f on f.deployment_id = d.id where d.id = $1",
    )
    .bind(plan.deployment)
    .fetch_optional(&mut **tx)
    .await?;
    let target = target.ok_or(Error::NotFound("deployment"))?;
    // What was built is of the commit that it was built from, also when the tag was moved.
    let commit = plan
        .source
        .as_ref()
        .map(|source| source.commit.to_string())
        .or(target.commit_id);
    let watch = Millis::from_secs(plan.application.watch_window_s);
    let inserted = sqlx::query(
        "with entry as (
             insert into deployment (id, application, version, commit_id, notes, kind, actor, rollback_id, images,
                                     deployed_at, request_hash)
             values ($1, $2, $3, $4, $5, 'rollback', $6, $7, $8, date_trunc('milliseconds', clock_timestamp()), $9)
             on conflict on constraint deployment_one_per_rollback do nothing
             returning id
         )
         insert into deployment_fact (deployment_id, state, components, green_since, watch_until, seen_at)
         select id, 'watching', $10, now(), now() + make_interval(secs => $11), now() from entry",
    )
    .bind(deployment)
    .bind(plan.application.name.as_str())
    .bind(plan.to.as_str())
    .bind(&commit)
    .bind(&target.notes)
    .bind(&source.requested_by)
    .bind(rollback.0)
    .bind(&target.images)
    .bind(request_hash(&plan.to, commit.as_deref(), &target.images.0))
    .bind(Json(ran(plan, target.components.0)))
    .bind(std::time::Duration::from_millis(watch.0).as_secs_f64())
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What the target's release is known to run, with what this rollback created it from.
fn ran(
    plan: &Plan,
    mut components: BTreeMap<ComponentName, DeployedComponent>,
) -> BTreeMap<ComponentName, DeployedComponent> {
    for swap in &plan.swaps {
        if let Some(component) = components.get_mut(&swap.component) {
            component.image = swap.image.clone();
            component.specification = Some(swap.specification.clone());
        }
    }
    components
}

/// What was proved to serve again is not held by the rollback that took it away.
async fn release_hold_of(
    tx: &mut PgTransaction<'_>,
    undone: RollbackId,
    source: &Source,
    plan: &Plan,
) -> Result<()> {
    let by: Actor = source
        .requested_by
        .parse()
        .map_err(|error| corrupt("rollback", error))?;
    let released = sqlx::query(
        "insert into hold_release (hold_id, released_by)
         select id, $2 from hold where rollback_id = $1
         on conflict on constraint hold_release_key do nothing",
    )
    .bind(undone.0)
    .bind(by.as_str())
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if released > 0 {
        let object = format!("application/{}/release/{}", plan.application.name, plan.to);
        let detail = json!({"holds": released, "undone": undone});
        audit::enter(tx, &by, "release.release", &object, detail).await?;
    }
    Ok(())
}

async fn hold_former(
    tx: &mut PgTransaction<'_>,
    rollback: RollbackId,
    source: &Source,
    plan: &Plan,
) -> Result<()> {
    let Some(former) = plan.from.as_ref().filter(|former| **former != plan.to) else {
        return Ok(());
    };
    let why = match &source.note {
        Some(note) => format!("rolled back: {}: {note}", source.reason),
        None => format!("rolled back: {}", source.reason),
    };
    sqlx::query(
        "insert into hold (application, version, reason, insecure, held_by, rollback_id)
         values ($1, $2, $3, $4, $5, $6) on conflict on constraint hold_one_per_rollback do nothing",
    )
    .bind(plan.application.name.as_str())
    .bind(former.as_str())
    .bind(why)
    .bind(source.reason == domain::reason::Reason::Security.word())
    .bind(&source.requested_by)
    .bind(rollback.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
