//! What people answered when they had to decide, and deadlines that passed with nothing done.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
};

use domain::{
    chat::notice::Notice,
    name::{Actor, ApplicationName},
    time::Moment,
    triage::{Advice, Evidence, facts::OpenAlert},
    trigger::{Trigger, alert::Alert},
};
use serde_json::{Value, json};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, readable, timed},
    error::{Result, corrupt},
    notices::{self, Occurrence},
    triggers,
    wake::Topic,
};

/// Most deadlines that one turn announces.
const PASSED_MAX: i64 = 50;

/// Most words of alerts among which those are looked for that are still there, the newest.
const ALERTS_MAX: i64 = 500;

/// Answers that led to an advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTriage {
    /// Its identity, UUIDv7.
    pub id: Uuid,
    /// About which application.
    pub application: ApplicationName,
    /// Who said what.
    pub answers: Vec<Evidence>,
    /// What is best done; none when it is over.
    pub advice: Option<Advice>,
    /// What else was said.
    pub note: Option<String>,
    /// Who decided.
    pub by: Actor,
    /// When.
    pub at: Moment,
}

/// The same as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTriage {
    /// What was said and advised.
    pub triage: NewTriage,
    /// Until when it has to be done.
    pub deadline: Option<Moment>,
    /// When that passed with nothing done.
    pub passed_at: Option<Moment>,
    /// Whether it still has to be done: no rollback that was asked for since goes on or put something in service, and nobody
    /// decided anew.
    pub open: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    application: String,
    answers: Json<Vec<Evidence>>,
    advice: Option<String>,
    note: Option<String>,
    asked_by: String,
    asked_at: OffsetDateTime,
    deadline: Option<OffsetDateTime>,
    passed_at: Option<OffsetDateTime>,
    open: bool,
}

#[derive(sqlx::FromRow)]
struct TriggerRow {
    row_key: String,
    definition: String,
}

/// What a trigger said of a trouble.
struct Word {
    id: Uuid,
    trigger: String,
    alert: Alert,
}

impl Word {
    /// What is later counts; of what happened at the same time, what was decided later.
    fn order(&self) -> (Moment, Uuid) {
        (self.alert.occurred_at, self.id)
    }
}

/// An advice is open until a rollback is asked for, or somebody decides anew. A rollback that ended without anything new in
/// service did not do it, nor does a proposal that only waits for a person. The text before the colon is
/// [`Actor::is_trigger`]'s, the other name [`Actor::watcher`]'s: what no person asked for.
macro_rules! open {
    () => {
        "t.deadline is not null
         and not exists (select from triage n where n.application = t.application and n.id > t.id)
         and not exists (
             select from rollback r join rollback_run u on u.rollback_id = r.id
             where r.application = t.application and r.requested_at >= t.asked_at
               and case u.phase
                   when 'awaiting_approval'
                       then not starts_with(r.requested_by, 'trigger:') and r.requested_by <> 'sternway:watcher'
                   when 'ended'
                       then u.proved_at is not null and u.state->'phase'->>'verdict' in ('rolled_back', 'needs_human')
                   else true
               end)"
    };
}

const LIST: &str = concat!(
    "select t.id, t.application, t.answers, t.advice, t.note, t.asked_by, t.asked_at, t.deadline, p.passed_at, ",
    open!(),
    " as open from triage t left join triage_passed p on p.triage_id = t.id
     where ($1::text is null or t.application = $1) and ($2::uuid is null or t.id = $2)
     order by t.id desc limit $3"
);

/// A deadline that passed a week ago is nobody's news any more.
const PASS: &str = concat!(
    "insert into triage_passed (triage_id) select t.id from triage t
     where t.deadline < now() and t.deadline > now() - interval '7 days' and ",
    open!(),
    " and not exists (select from triage_passed p where p.triage_id = t.id)
     order by t.deadline limit $1 on conflict do nothing returning triage_id"
);

impl Store {
    /// The newest word on each trouble of an application that alerts told of in the last day, by when it happened: what ends
    /// soon is decided before what began. What waits to be decided is not among them, nor what a trigger told that is
    /// removed or can not be read.
    ///
    /// # Errors
    /// As every store function.
    pub async fn alerts_newest(&self, application: &ApplicationName) -> Result<Vec<OpenAlert>> {
        let (told, triggers) = timed(async {
            let told: Vec<(Uuid, String, Value)> = sqlx::query_as(
                "select id, trigger_name, notice from decision
                 where application = $1 and episode is not null and decided_at > now() - interval '24 hours'
                 order by id desc limit $2",
            )
            .bind(application.as_str())
            .bind(ALERTS_MAX)
            .fetch_all(&self.pool)
            .await?;
            let names: BTreeSet<&str> = told.iter().map(|(_, name, _)| name.as_str()).collect();
            let triggers = sqlx::query(
                "select name as row_key, definition from trigger where name = any($1) and removed_at is null",
            )
            .bind(names.into_iter().collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
            Ok((told, triggers))
        })
        .await?;
        let read = |row: TriggerRow| Ok((row.row_key, triggers::definition(&row.definition)?));
        let triggers: BTreeMap<String, Trigger> =
            readable("trigger", triggers, read).into_iter().collect();
        let open = |said: Word| {
            let trigger = triggers.get(&said.trigger)?.clone();
            let alert = said.alert;
            Some(OpenAlert { trigger, alert })
        };
        Ok(newest(told).into_iter().filter_map(open).collect())
    }

    /// Keeps what was said and advised.
    ///
    /// # Errors
    /// As every store function.
    pub async fn triage_put(&self, new: &NewTriage) -> Result<()> {
        let deadline = new.advice.map(|advice| advice.deadline(new.at));
        timed(async {
            let mut tx = self.pool.begin().await?;
            sqlx::query(
                "insert into triage (id, application, answers, advice, note, asked_by, asked_at, deadline)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(new.id)
            .bind(new.application.as_str())
            .bind(Json(&new.answers))
            .bind(new.advice.map(Advice::word))
            .bind(&new.note)
            .bind(new.by.as_str())
            .bind(OffsetDateTime::from(new.at))
            .bind(deadline.map(OffsetDateTime::from))
            .execute(&mut *tx)
            .await?;
            let object = format!("application/{}/decision/{}", new.application, new.id);
            let detail = json!({"advice": new.advice, "note": new.note, "deadline": deadline});
            audit::enter(&mut tx, &new.by, "triage.decide", &object, detail).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// What was decided, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn triage_list(
        &self,
        application: Option<&ApplicationName>,
        limit: u32,
    ) -> Result<Vec<StoredTriage>> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            triages(&mut session, application, None, limit.into()).await
        })
        .await
    }

    /// Whether what was advised still has to be done.
    pub(crate) async fn triage_is_open(&self, id: Uuid) -> Result<bool> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            let found = triages(&mut session, None, Some(id), 1).await?;
            Ok(found.first().is_some_and(|found| found.open))
        })
        .await
    }

    /// Writes down which deadlines passed with nothing done, each once, however many workers ask; says which.
    ///
    /// # Errors
    /// As every store function.
    pub async fn triage_pass(&self, by: &Actor) -> Result<Vec<StoredTriage>> {
        let all = timed(async {
            let mut tx = self.pool.begin().await?;
            let passed: Vec<Uuid> = sqlx::query_scalar(PASS)
                .bind(PASSED_MAX)
                .fetch_all(&mut *tx)
                .await?;
            let mut all = Vec::new();
            for id in passed {
                let object = format!("decision/{id}");
                audit::enter(&mut tx, by, "triage.deadline_passed", &object, json!({})).await?;
                all.extend(triages(&mut tx, None, Some(id), 1).await?);
            }
            notices::tell(&mut tx, all.iter().filter_map(late).collect()).await?;
            tx.commit().await?;
            Ok(all)
        })
        .await?;
        if !all.is_empty() {
            self.announce(Topic::Work);
        }
        Ok(all)
    }
}

/// The newest word on each trouble, the newest first.
fn newest(told: Vec<(Uuid, String, Value)>) -> Vec<Word> {
    let mut newest: BTreeMap<(String, String), Word> = BTreeMap::new();
    for (id, trigger, notice) in told {
        // What another version wrote in another form tells nothing.
        let Ok(alert) = serde_json::from_value::<Alert>(notice) else {
            continue;
        };
        let said = Word { id, trigger, alert };
        match newest.entry((said.trigger.clone(), said.alert.episode.clone())) {
            Entry::Vacant(first) => {
                first.insert(said);
            }
            Entry::Occupied(mut known) if known.get().order() < said.order() => {
                known.insert(said);
            }
            Entry::Occupied(_) => {}
        }
    }
    let mut newest: Vec<Word> = newest.into_values().collect();
    newest.sort_by_key(|said| Reverse(said.order()));
    newest
}

async fn triages(
    session: &mut PgConnection,
    application: Option<&ApplicationName>,
    id: Option<Uuid>,
    limit: i64,
) -> Result<Vec<StoredTriage>> {
    let rows: Vec<Row> = sqlx::query_as(LIST)
        .bind(application.map(ApplicationName::as_str))
        .bind(id)
        .bind(limit)
        .fetch_all(session)
        .await?;
    rows.into_iter().map(stored).collect()
}

/// What is told of a deadline that passed.
fn late(stored: &StoredTriage) -> Option<Occurrence> {
    let triage = &stored.triage;
    let notice = Notice::Deadline {
        application: triage.application.clone(),
        advice: triage.advice?,
        by: triage.by.clone(),
        until: stored.deadline?,
        note: triage.note.clone(),
    };
    Some((format!("deadline/{}", triage.id), notice))
}

fn stored(row: Row) -> Result<StoredTriage> {
    let bad = |error| corrupt("triage", error);
    let advice = row.advice.map(|word| word.parse::<Advice>()).transpose();
    Ok(StoredTriage {
        triage: NewTriage {
            id: row.id,
            application: row.application.parse().map_err(bad)?,
            answers: row.answers.0,
            advice: advice.map_err(|error| corrupt("triage", error))?,
            note: row.note,
            by: row.asked_by.parse().map_err(bad)?,
            at: row.asked_at.into(),
        },
        deadline: row.deadline.map(Into::into),
        passed_at: row.passed_at.map(Into::into),
        open: row.open,
    })
}
