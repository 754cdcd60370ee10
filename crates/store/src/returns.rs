//! Held releases that came back: what was found, and what is done about it. The worker writes them.

use domain::{
    application::OnReturn,
    chat::notice::Notice,
    drift::{Answer, answer_to_return},
    name::{Actor, ApplicationName, RollbackId, Version},
    time::{Millis, Moment},
};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    drift::lock,
    error::{Result, corrupt},
    notices::{self, Occurrence},
    page::{Listed, Page},
    wake::Topic,
};

/// A held release that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReturn {
    /// Of which application.
    pub application: ApplicationName,
    /// The deployment that brought it.
    pub deployment: Uuid,
    /// The version that is held.
    pub version: Version,
    /// Why it is held.
    pub reason: String,
    /// What the definition says is to be done.
    pub policy: OnReturn,
}

/// What is done about a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnOutcome {
    /// It is announced.
    Reported,
    /// A rollback is about to be requested.
    PuttingBack,
    /// A rollback was requested.
    PutBack,
    /// A person has to look at it.
    NeedsPerson,
    /// It went away by itself before anything was done.
    Over,
}

impl ReturnOutcome {
    const ALL: [Self; 5] = [
        Self::Reported,
        Self::PuttingBack,
        Self::PutBack,
        Self::NeedsPerson,
        Self::Over,
    ];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::PuttingBack => "putting_back",
            Self::PutBack => "put_back",
            Self::NeedsPerson => "needs_person",
            Self::Over => "over",
        }
    }
}

/// A return, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReturn {
    /// The deployment that brought it.
    pub deployment: Uuid,
    /// Of which application.
    pub application: ApplicationName,
    /// The version that is held.
    pub version: Version,
    /// Why it is held.
    pub reason: String,
    /// When it was seen.
    pub seen_at: Moment,
    /// What is done about it.
    pub outcome: ReturnOutcome,
    /// That, as a sentence.
    pub said: String,
    /// The rollback that puts it back.
    pub rollback: Option<RollbackId>,
    /// Whether it still runs and is still held, as far as the ledger knows.
    pub open: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    deployment_id: Uuid,
    application: String,
    version: String,
    reason: String,
    seen_at: OffsetDateTime,
    outcome: String,
    said: String,
    rollback_id: Option<Uuid>,
    open: bool,
}

impl Store {
    /// Writes a return down and says what is to be done about it; none when it was written down before.
    ///
    /// # Errors
    /// As every store function.
    pub async fn return_put(&self, new: &NewReturn, by: &Actor) -> Result<Option<Answer>> {
        let answer = timed(async {
            let mut tx = self.pool.begin().await?;
            lock(&mut tx, &new.application).await?;
            // Only rollbacks that were requested count: they are what can fight with somebody else's deployments.
            let ago: Option<i64> = sqlx::query_scalar(
                "select (extract(epoch from now() - max(seen_at)) * 1000)::bigint from held_return
                 where application = $1 and rollback_id is not null",
            )
            .bind(new.application.as_str())
            .fetch_one(&mut *tx)
            .await?;
            let ago = ago.map(|ms| Millis(ms.max(0).cast_unsigned()));
            let answer = answer_to_return(new.policy, ago);
            let written = sqlx::query(
                "insert into held_return (deployment_id, application, version, reason, outcome, said)
                 values ($1, $2, $3, $4, $5, $6) on conflict on constraint held_return_key do nothing",
            )
            .bind(new.deployment)
            .bind(new.application.as_str())
            .bind(new.version.as_str())
            .bind(&new.reason)
            .bind(word_of(answer))
            .bind(answer.sentence())
            .execute(&mut *tx)
            .await?;
            if written.rows_affected() == 0 {
                return Ok(None);
            }
            let object = format!("application/{}/release/{}", new.application, new.version);
            let detail = json!({"deployment": new.deployment, "outcome": word_of(answer)});
            audit::enter(&mut tx, by, "release.return", &object, detail).await?;
            let told = match answer {
                Answer::Report | Answer::AskPerson => vec![back(
                    new.deployment,
                    word_of(answer),
                    Notice::Returned {
                        application: new.application.clone(),
                        version: new.version.clone(),
                        reason: new.reason.clone(),
                        said: answer.sentence().to_owned(),
                    },
                )],
                // The rollback that puts it back is told of.
                Answer::PutBack => Vec::new(),
            };
            notices::tell(&mut tx, told).await?;
            tx.commit().await?;
            Ok(Some(answer))
        })
        .await?;
        if answer.is_some() {
            self.announce(Topic::Work);
        }
        Ok(answer)
    }

    /// What became of a return. Only what is not decided yet changes: false when somebody else was first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn return_decided(
        &self,
        deployment: Uuid,
        outcome: ReturnOutcome,
        said: &str,
        rollback: Option<RollbackId>,
    ) -> Result<bool> {
        let first = timed(async {
            let mut tx = self.pool.begin().await?;
            let written: Option<(String, String, String, bool)> = sqlx::query_as(
                "update held_return set outcome = $2, said = $3, rollback_id = coalesce($4, rollback_id)
                 where deployment_id = $1 and (outcome = 'putting_back'
                     or (outcome = 'put_back' and $2 in ('needs_person', 'over')))
                 returning application, version, reason, exists (
                     select from chat_card c where c.rollback_id = held_return.rollback_id and c.occasion = 'human')",
            )
            .bind(deployment)
            .bind(outcome.word())
            .bind(said)
            .bind(rollback.map(|rollback| rollback.0))
            .fetch_optional(&mut *tx)
            .await?;
            let Some((application, version, reason, called)) = written else {
                return Ok(false);
            };
            // A rollback that left it to a person called one when it ended.
            if outcome == ReturnOutcome::NeedsPerson && !called {
                let bad = |error| corrupt("return", error);
                let notice = Notice::Returned {
                    application: application.parse().map_err(bad)?,
                    version: version.parse().map_err(bad)?,
                    reason,
                    said: said.to_owned(),
                };
                let told = vec![back(deployment, outcome.word(), notice)];
                notices::tell(&mut tx, told).await?;
            }
            tx.commit().await?;
            Ok(true)
        })
        .await?;
        if first {
            self.announce(Topic::Work);
        }
        Ok(first)
    }

    /// The return of an application that is open now.
    ///
    /// # Errors
    /// As every store function.
    pub async fn return_open(&self, application: &ApplicationName) -> Result<Option<HeldReturn>> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            let newest = newest_return(&mut session, application).await?;
            // Only the newest one can be open.
            Ok(newest.filter(|newest| newest.open))
        })
        .await
    }

    /// Returns of an application, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn returns_list(
        &self,
        application: &ApplicationName,
        page: &Page<Uuid>,
    ) -> Result<Listed<HeldReturn, Uuid>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(RETURNS)
                .bind(application.as_str())
                .bind(page.after)
                .bind(page.fetch())
                .fetch_all(&self.pool)
                .await?)
        })
        .await?;
        let items: Result<Vec<HeldReturn>> = rows.into_iter().map(held_return).collect();
        Ok(page.listed(items?, |item| item.deployment))
    }
}

/// A return is open while its deployment is the newest, and its version is held.
const RETURNS: &str = "
    select r.deployment_id, r.application, r.version, r.reason, r.seen_at, r.outcome, r.said, r.rollback_id,
           r.outcome <> 'over' and r.deployment_id = (
               select d.id from deployment d join deployment_fact f on f.deployment_id = d.id
               where d.application = $1 and f.state <> 'refused' and f.merged_into is null
               order by d.deployed_at desc, d.id desc limit 1
           ) and exists (
               select from hold h where h.application = $1 and h.version = r.version
               and not exists (select from hold_release x where x.hold_id = h.id)
           ) as open
    from held_return r
    where r.application = $1 and ($2::uuid is null or r.deployment_id < $2)
    order by r.deployment_id desc limit $3";

/// The newest return of an application.
pub(crate) async fn newest_return(
    session: &mut PgConnection,
    application: &ApplicationName,
) -> Result<Option<HeldReturn>> {
    let row: Option<Row> = sqlx::query_as(RETURNS)
        .bind(application.as_str())
        .bind(None::<Uuid>)
        .bind(1_i64)
        .fetch_optional(session)
        .await?;
    row.map(held_return).transpose()
}

fn back(deployment: Uuid, word: &str, notice: Notice) -> Occurrence {
    (format!("returned/{deployment}/{word}"), notice)
}

fn word_of(answer: Answer) -> &'static str {
    let outcome = match answer {
        Answer::Report => ReturnOutcome::Reported,
        Answer::PutBack => ReturnOutcome::PuttingBack,
        Answer::AskPerson => ReturnOutcome::NeedsPerson,
    };
    outcome.word()
}

fn held_return(row: Row) -> Result<HeldReturn> {
    let bad = |error| corrupt("return", error);
    let outcome = ReturnOutcome::ALL
        .into_iter()
        .find(|outcome| outcome.word() == row.outcome)
        .ok_or_else(|| corrupt("return", format!("outcome `{}` is not known", row.outcome)))?;
    Ok(HeldReturn {
        deployment: row.deployment_id,
        application: row.application.parse().map_err(bad)?,
        version: row.version.parse().map_err(bad)?,
        reason: row.reason,
        seen_at: row.seen_at.into(),
        outcome,
        said: row.said,
        rollback: row.rollback_id.map(RollbackId),
        open: row.open,
    })
}
