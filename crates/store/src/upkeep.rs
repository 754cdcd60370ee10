//! Which applications' past is to be looked after, what keeps it there, and how ready each release is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{
    application::Application,
    chat::notice::{BrokenRelease, Notice},
    name::{ApplicationName, ImageId, Version},
    readiness::{Readiness, ReadinessCode},
    retention::Why,
    time::Moment,
};
use sqlx::{PgConnection, postgres::PgRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    applications,
    connect::{Store, readable, timed},
    error::{Result, corrupt},
    notices, plans,
    wake::Topic,
};

/// Most applications that one turn takes.
const DUE_MAX: u32 = 16;
/// Most engines that are listened to: each is an open connection.
const ENGINES_MAX: i64 = 100;

/// An application whose past is due to be looked after.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// Its definition.
    pub application: Application,
    /// Whether readiness is due to be computed anew.
    pub ready_due: bool,
    /// Images of its newest rollback: what served before it may be asked for again.
    pub rolled_back: BTreeSet<ImageId>,
}

/// How ready a release is, as it was last computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReadiness {
    /// Why it is kept; nothing when it is not.
    pub retained: BTreeSet<Why>,
    /// What was found.
    pub readiness: Readiness,
    /// Whether it is a way back that is broken.
    pub broken: bool,
    /// Since when its code is this one.
    pub since: Moment,
    /// When it was computed.
    pub checked_at: Moment,
}

/// How many ways back there are, over all applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct WaysBack {
    /// Kept as ways back, and could not come back.
    pub broken: i64,
    /// Kept, with every image on the engine.
    pub ready: i64,
}

/// What is known now of a release's readiness.
#[derive(Clone, Debug)]
pub struct NewReadiness {
    /// Why it is kept; nothing when it is not.
    pub retained: BTreeSet<Why>,
    /// What was found.
    pub readiness: Readiness,
    /// Whether it is a way back that is broken.
    pub broken: bool,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    definition: String,
    ready_due: bool,
    plan_digest: Option<String>,
    plan: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ReadinessRow {
    version: String,
    retained: Json<BTreeSet<Why>>,
    code: String,
    broken: bool,
    sentence: String,
    next_action: Option<String>,
    since: OffsetDateTime,
    checked_at: OffsetDateTime,
}

impl Store {
    /// Applications that are due, each ours for `lease`. One that a rollback acts on is left alone.
    ///
    /// # Errors
    /// As every store function.
    pub async fn upkeep_due(&self, limit: u32, lease: Duration) -> Result<Vec<Upkeep>> {
        timed(async {
            // A new one is looked after at once; the random part spreads what costs more.
            sqlx::query(
                "insert into application_upkeep (application, due_at, ready_at, copy_at)
                 select name, now(), now(), now() + random() * interval '10 s' from application a
                 where removed_at is null
                   and not exists (select from application_upkeep u where u.application = a.name)
                 limit 100 on conflict do nothing",
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "with due as (
                     select u.application from application_upkeep u
                     join application a on a.name = u.application and a.removed_at is null
                     where u.due_at <= now()
                       and not exists (select from rollback_run r where r.application = u.application and r.acts)
                     order by u.due_at limit $1 for update of u skip locked
                 )
                 update application_upkeep u set due_at = now() + make_interval(secs => $2)
                 from due join application a on a.name = due.application
                 left join lateral (
                     select p.digest, p.body from rollback q join plan p on p.digest = q.plan_digest
                     where q.application = due.application order by q.id desc limit 1
                 ) last on true
                 where u.application = due.application
                 returning a.definition, a.name as row_key, u.ready_at <= now() as ready_due,
                           last.digest as plan_digest, last.body as plan",
            )
            .bind(i64::from(limit.min(DUE_MAX)))
            .bind(lease.as_secs_f64())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        Ok(readable("application", rows, upkeep))
    }

    /// The engines that applications name.
    ///
    /// # Errors
    /// As every store function.
    pub async fn engines_named(&self) -> Result<Vec<String>> {
        timed(async {
            Ok(sqlx::query_scalar(
                "select distinct engine from application where removed_at is null order by engine limit $1",
            )
            .bind(ENGINES_MAX)
            .fetch_all(&self.pool)
            .await?)
        })
        .await
    }

    /// Whether a rollback acts on an application now.
    ///
    /// # Errors
    /// As every store function.
    pub async fn acted_on(&self, application: &ApplicationName) -> Result<bool> {
        timed(async {
            Ok(sqlx::query_scalar(
                "select exists (select from rollback_run where application = $1 and acts)",
            )
            .bind(application.as_str())
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// It was looked after: due again after `again`, its readiness after `ready` when that was computed. Who was
    /// [hastened](Self::upkeep_hasten) meanwhile stays due: what was looked at is older than what happened.
    ///
    /// # Errors
    /// As every store function.
    pub async fn upkeep_done(
        &self,
        application: &ApplicationName,
        again: Duration,
        ready: Option<Duration>,
    ) -> Result<()> {
        timed(async {
            sqlx::query(
                "update application_upkeep set due_at = now() + make_interval(secs => $2),
                     ready_at = case when $3::float8 is null then ready_at
                                     else now() + make_interval(secs => $3) end
                 where application = $1 and due_at > now()",
            )
            .bind(application.as_str())
            .bind(again.as_secs_f64())
            .bind(ready.map(|ready| ready.as_secs_f64()))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Something was taken away that protects images: every application is due now.
    ///
    /// # Errors
    /// As every store function.
    pub async fn upkeep_hasten(&self) -> Result<()> {
        timed(async {
            sqlx::query(
                "update application_upkeep set due_at = now(), ready_at = now() where due_at > now()",
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// What is known now of every release's readiness. Releases that are not named are forgotten.
    ///
    /// # Errors
    /// As every store function.
    pub async fn readiness_put(
        &self,
        application: &ApplicationName,
        found: &BTreeMap<Version, NewReadiness>,
    ) -> Result<()> {
        let versions: Vec<&str> = found.keys().map(Version::as_str).collect();
        let told = timed(async {
            let mut tx = self.pool.begin().await?;
            let newly = newly_broken(&mut tx, application, found).await?;
            sqlx::query(
                "delete from release_readiness where application = $1 and version <> all($2)",
            )
            .bind(application.as_str())
            .bind(&versions)
            .execute(&mut *tx)
            .await?;
            for (version, new) in found {
                sqlx::query(
                    "insert into release_readiness as r
                         (application, version, retained, code, broken, sentence, next_action)
                     values ($1, $2, $3, $4, $5, $6, $7)
                     on conflict on constraint release_readiness_key do update
                     set retained = excluded.retained, code = excluded.code, broken = excluded.broken,
                         sentence = excluded.sentence, next_action = excluded.next_action, checked_at = now(),
                         since = case when r.code = excluded.code then r.since else now() end",
                )
                .bind(application.as_str())
                .bind(version.as_str())
                .bind(Json(&new.retained))
                .bind(new.readiness.code.word())
                .bind(new.broken)
                .bind(&new.readiness.sentence)
                .bind(&new.readiness.next_action)
                .execute(&mut *tx)
                .await?;
            }
            let told = !newly.is_empty();
            if told {
                let notice = Notice::WayBack {
                    application: application.clone(),
                    releases: newly,
                };
                let occurrence = format!("way_back/{}", Uuid::now_v7());
                notices::tell(&mut tx, vec![(occurrence, notice)]).await?;
            }
            tx.commit().await?;
            Ok(told)
        })
        .await?;
        if told {
            self.announce(Topic::Work);
        }
        Ok(())
    }

    /// How many releases of all applications are kept as ways back and broken, and how many are kept and ready.
    ///
    /// # Errors
    /// As every store function.
    pub async fn ways_back(&self) -> Result<WaysBack> {
        timed(async {
            Ok(sqlx::query_as(
                "select count(*) filter (where r.broken) as broken,
                        count(*) filter (where r.code = $1 and r.retained <> '[]') as ready
                 from release_readiness r join application a on a.name = r.application and a.removed_at is null",
            )
            .bind(ReadinessCode::Ready.word())
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// How ready each release of an application is, as it was last computed.
    ///
    /// # Errors
    /// As every store function.
    pub async fn readiness_list(
        &self,
        application: &ApplicationName,
    ) -> Result<BTreeMap<Version, StoredReadiness>> {
        // As many as there are releases that a plan is chosen from.
        let rows: Vec<ReadinessRow> = timed(async {
            Ok(sqlx::query_as(
                "select version, retained, code, broken, sentence, next_action, since, checked_at
                 from release_readiness where application = $1 limit 200",
            )
            .bind(application.as_str())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(readiness).collect()
    }
}

/// Which ways back are broken that were not before. Whoever else knows better meanwhile waits for the end of this.
async fn newly_broken(
    session: &mut PgConnection,
    application: &ApplicationName,
    found: &BTreeMap<Version, NewReadiness>,
) -> Result<Vec<BrokenRelease>> {
    sqlx::query("select 1 from application_upkeep where application = $1 for no key update")
        .bind(application.as_str())
        .execute(&mut *session)
        .await?;
    let before: Vec<String> = sqlx::query_scalar(
        "select version from release_readiness where application = $1 and broken",
    )
    .bind(application.as_str())
    .fetch_all(&mut *session)
    .await?;
    let newly = found.iter().filter(|(version, new)| {
        new.broken && !before.iter().any(|before| before == version.as_str())
    });
    let broken = newly.map(|(version, new)| BrokenRelease {
        version: version.clone(),
        said: new.readiness.sentence.clone(),
        next: new.readiness.next_action.clone(),
    });
    Ok(broken.collect())
}

fn upkeep(row: DueRow) -> Result<Upkeep> {
    let last = match (&row.plan_digest, &row.plan) {
        (Some(digest), Some(body)) => Some(plans::parse(digest, body)?),
        _ => None,
    };
    Ok(Upkeep {
        application: applications::definition(&row.definition)?,
        ready_due: row.ready_due,
        rolled_back: last.map_or_else(BTreeSet::new, |plan| plan.keep.into_iter().collect()),
    })
}

fn readiness(row: ReadinessRow) -> Result<(Version, StoredReadiness)> {
    let version = row
        .version
        .parse()
        .map_err(|error| corrupt("readiness", error))?;
    let code: ReadinessCode = row
        .code
        .parse()
        .map_err(|error: String| corrupt("readiness", error))?;
    let stored = StoredReadiness {
        retained: row.retained.0,
        readiness: Readiness {
            code,
            sentence: row.sentence,
            next_action: row.next_action,
        },
        broken: row.broken,
        since: row.since.into(),
        checked_at: row.checked_at.into(),
    };
    Ok((version, stored))
}
