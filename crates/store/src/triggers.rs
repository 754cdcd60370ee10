//! Triggers and their secrets, which are sealed. It does not judge a message.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    name::{Actor, TriggerName},
    time::Moment,
    trigger::{Trigger, verify::HeldSecret},
};
use serde_json::json;
use sqlx::{PgTransaction, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    applications::Put,
    audit,
    connect::{Store, timed},
    error::{Constraint, Error, Result, corrupt},
    page::{Listed, Page},
    parts,
    seal::SecretKey,
    sessions::Sessions,
    together::with_all,
};

/// Messages of a trigger that is removed that are put down in one statement.
const PUT_DOWN_AT_ONCE: i64 = 1000;

/// A trigger in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTrigger {
    /// The definition.
    pub trigger: Trigger,
    /// Its revision.
    pub revision: i32,
    /// When it was last changed.
    pub updated_at: Moment,
    /// Its secrets that are still good, the present one first. What they are is told to nobody.
    pub secrets: Vec<SecretFact>,
    /// When its newest message came.
    pub heard_at: Option<Moment>,
}

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct SecretFact {
    /// When it was set.
    pub created_at: Moment,
    /// By whom.
    pub created_by: Actor,
    /// Until when it is good; the present one has no end.
    #[serde(default)]
    pub ends_at: Option<Moment>,
}

/// What a message is verified with.
#[derive(Clone, Debug)]
pub struct HookKeys {
    /// The definition.
    pub trigger: Trigger,
    /// Its secrets that are still good.
    pub secrets: Vec<HeldSecret>,
}

#[derive(sqlx::FromRow)]
struct Row {
    definition: String,
    revision: i32,
    updated_at: OffsetDateTime,
    secrets: Json<Vec<SecretFact>>,
    heard_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    name: String,
    definition: String,
    id: Option<Uuid>,
    sealed: Option<Vec<u8>>,
    ends_at: Option<OffsetDateTime>,
}

/// What a secret is sealed for: it opens at no other trigger.
fn about(trigger: &TriggerName, id: Uuid) -> String {
    format!("trigger {trigger} secret {id}")
}

impl Store {
    /// Stores a trigger. With `if_match`, only over that revision.
    ///
    /// # Errors
    /// [`Error::Revision`], or as every store function.
    pub async fn trigger_put(
        &self,
        trigger: &Trigger,
        actor: &Actor,
        if_match: Option<i32>,
    ) -> Result<Put> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let present: Option<(String, i32, bool)> = sqlx::query_as(
                "select definition, revision, removed_at is not null from trigger
                 where name = $1 for no key update",
            )
            .bind(trigger.name.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            let living = present.as_ref().filter(|(_, _, removed)| !removed);
            let revision = living.map(|(_, revision, _)| *revision);
            if if_match != revision {
                return Err(Error::Revision { present: revision });
            }
            let definition =
                serde_json::to_string(trigger).map_err(|error| corrupt("trigger", error))?;
            if let Some((same, revision, _)) = living.filter(|(text, _, _)| *text == definition) {
                tracing::trace!(same, "nothing is changed");
                return Ok(Put {
                    revision: *revision,
                    created: false,
                });
            }
            if let Some((text, _, _)) = &present {
                same_kind(text, trigger)?;
            }
            if present.is_some() && living.is_none() {
                // What came for the former one of that name at the moment of its end is not for this one to decide.
                put_down(&mut tx, &trigger.name).await?;
            }
            let revision = insert(&mut tx, trigger, &definition, revision).await?;
            let put = Put {
                revision: revision.ok_or(Error::Revision { present: None })?,
                created: living.is_none(),
            };
            let object = format!("trigger/{}", trigger.name);
            let detail = json!({"revision": put.revision, "definition": trigger});
            audit::enter(&mut tx, actor, "trigger.put", &object, detail).await?;
            tx.commit().await?;
            Ok(put)
        })
        .await
    }

    /// A trigger.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn trigger_get(&self, name: &TriggerName) -> Result<StoredTrigger> {
        let page = Page {
            after: None,
            limit: 1,
        };
        let found = self.triggers(Some(name), &page).await?.items.pop();
        found.ok_or(Error::NotFound("trigger"))
    }

    /// Triggers by name.
    ///
    /// # Errors
    /// As every store function.
    pub async fn trigger_list(
        &self,
        page: &Page<TriggerName>,
    ) -> Result<Listed<StoredTrigger, TriggerName>> {
        self.triggers(None, page).await
    }

    async fn triggers(
        &self,
        only: Option<&TriggerName>,
        page: &Page<TriggerName>,
    ) -> Result<Listed<StoredTrigger, TriggerName>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select t.definition, t.revision, t.updated_at,
                        (select coalesce(jsonb_agg(jsonb_build_object(
                                    'created_at', to_char(s.created_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
                                    'created_by', s.created_by,
                                    'ends_at', to_char(s.ends_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))
                                    order by s.created_at desc), '[]')
                         from trigger_secret s
                         where s.trigger_name = t.name and (s.ends_at is null or s.ends_at > now())) as secrets,
                        (select max(i.received_at) from inbox i where i.trigger_name = t.name) as heard_at
                 from trigger t
                 where t.removed_at is null and ($1::text is null or t.name > $1) and ($2::text is null or t.name = $2)
                 order by t.name limit $3",
            )
            .bind(page.after.as_ref().map(TriggerName::as_str))
            .bind(only.map(TriggerName::as_str))
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<StoredTrigger>> = rows.into_iter().map(stored).collect();
        Ok(page.listed(items?, |stored| stored.trigger.name.clone()))
    }

    /// Takes a trigger out, its secrets and the persons of a chat with it. What it told and what came of that stays; what
    /// waits to be decided is put down.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Revision`], or as every store function.
    pub async fn trigger_remove(
        &self,
        name: &TriggerName,
        actor: &Actor,
        if_match: Option<i32>,
    ) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let revision = living(&mut tx, name).await?;
            if if_match.is_some_and(|asked| asked != revision) {
                return Err(Error::Revision {
                    present: Some(revision),
                });
            }
            for held in [
                "delete from trigger_secret where trigger_name = $1",
                "delete from chat_bot where trigger_name = $1",
                "delete from chat_person where trigger_name = $1",
                "delete from chat_answer where trigger_name = $1",
            ] {
                sqlx::query(held)
                    .bind(name.as_str())
                    .execute(&mut *tx)
                    .await?;
            }
            sqlx::query(
                "update trigger set removed_at = now(), updated_at = now() where name = $1",
            )
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
            put_down(&mut tx, name).await?;
            let object = format!("trigger/{name}");
            let detail = json!({"revision": revision});
            audit::enter(&mut tx, actor, "trigger.remove", &object, detail).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Gives a trigger a new secret; the one before it stays good until `former_until`, and those before that end now.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn trigger_secret_put(
        &self,
        name: &TriggerName,
        secret: &str,
        former_until: Option<Moment>,
        actor: &Actor,
    ) -> Result<()> {
        let id = Uuid::now_v7();
        let sealed = self.key.seal(&about(name, id), secret.as_bytes());
        timed(async {
            let mut tx = self.pool.begin().await?;
            living(&mut tx, name).await?;
            sqlx::query(
                "delete from trigger_secret where trigger_name = $1 and (ends_at is not null or $2)",
            )
            .bind(name.as_str())
            .bind(former_until.is_none())
            .execute(&mut *tx)
            .await?;
            sqlx::query("update trigger_secret set ends_at = $2 where trigger_name = $1")
                .bind(name.as_str())
                .bind(former_until.map(OffsetDateTime::from))
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "insert into trigger_secret (id, trigger_name, sealed, created_by) values ($1, $2, $3, $4)",
            )
            .bind(id)
            .bind(name.as_str())
            .bind(&sealed)
            .bind(actor.as_str())
            .execute(&mut *tx)
            .await?;
            let object = format!("trigger/{name}");
            let detail = json!({"former_until": former_until});
            audit::enter(&mut tx, actor, "trigger.secret", &object, detail).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// What a message to this trigger is verified with; none when there is no such trigger.
    ///
    /// # Errors
    /// [`Error::KeyLost`] when a secret is sealed with another key, or as every store function.
    pub async fn trigger_keys(&self, name: &TriggerName) -> Result<Option<HookKeys>> {
        let (sessions, key) = (self.intake.clone(), self.key.clone());
        let read = |names| async move { keys(&sessions, &key, names).await };
        self.hook_keys.ask(name.clone(), 0, read).await
    }
}

pub(crate) async fn living(tx: &mut PgTransaction<'_>, name: &TriggerName) -> Result<i32> {
    let revision: Option<i32> = sqlx::query_scalar(
        "select revision from trigger where name = $1 and removed_at is null for no key update",
    )
    .bind(name.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    revision.ok_or(Error::NotFound("trigger"))
}

/// What a trigger told and nobody has decided: with the trigger it is over, whoever makes one of its name.
async fn put_down(tx: &mut PgTransaction<'_>, name: &TriggerName) -> Result<()> {
    loop {
        let waited: Vec<(String, i32)> = sqlx::query_as(
            "delete from inbox_due d where d.trigger_name = $1 and d.event_id in (
                 select event_id from inbox_due where trigger_name = $1 limit $2)
             returning d.event_id, coalesce((
                 select max(part) + 1 from decision e where e.trigger_name = d.trigger_name and e.event_id = d.event_id), 0)",
        )
        .bind(name.as_str())
        .bind(PUT_DOWN_AT_ONCE)
        .fetch_all(&mut **tx)
        .await?;
        if waited.is_empty() {
            return Ok(());
        }
        parts::put_down(tx, name, &waited).await?;
    }
}

/// None: somebody made one of that name at the same moment.
async fn insert(
    tx: &mut PgTransaction<'_>,
    trigger: &Trigger,
    definition: &str,
    present: Option<i32>,
) -> Result<Option<i32>> {
    Ok(sqlx::query_scalar(
        "insert into trigger (name, definition, revision) values ($1, $2, 1)
         on conflict on constraint trigger_key do update
         set definition = excluded.definition, revision = trigger.revision + 1, updated_at = now(), removed_at = null
         where trigger.removed_at is not null or trigger.revision = $3
         returning revision",
    )
    .bind(trigger.name.as_str())
    .bind(definition)
    .bind(present)
    .fetch_optional(&mut **tx)
    .await?)
}

/// A name keeps its kind: what is still to be decided under it would be read as something else.
fn same_kind(present: &str, trigger: &Trigger) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Former {
        kind: domain::trigger::Kind,
    }
    let former: Former =
        serde_json::from_str(present).map_err(|error| corrupt("trigger", error))?;
    if former.kind == trigger.kind {
        return Ok(());
    }
    Err(Error::Conflict(Constraint::KindChanged {
        kind: former.kind.word(),
    }))
}

/// What messages of these triggers are verified with. They share one reading.
async fn keys(
    sessions: &Sessions,
    key: &SecretKey,
    names: Vec<TriggerName>,
) -> Vec<Result<Option<HookKeys>>> {
    let distinct: BTreeSet<&str> = names.iter().map(TriggerName::as_str).collect();
    let rows: Result<Vec<KeyRow>> = timed(async {
        let mut session = sessions.take().await?;
        let rows = sqlx::query_as(
            "select t.name, t.definition, s.id, s.sealed, s.ends_at from trigger t
             left join trigger_secret s on s.trigger_name = t.name and (s.ends_at is null or s.ends_at > now())
             where t.name = any($1) and t.removed_at is null
             order by s.created_at desc",
        )
        .bind(distinct.into_iter().collect::<Vec<_>>())
        .fetch_all(&mut *session)
        .await?;
        sessions.keep(session);
        Ok(rows)
    })
    .await;
    match rows {
        Ok(rows) => {
            // Opened once for all who ask for the same.
            let mut opened = BTreeMap::new();
            let mut each = |name| {
                if let Some(keys) = opened.get(name) {
                    return Ok(Option::clone(keys));
                }
                let keys = keys_of(key, name, &rows)?;
                opened.insert(name, keys.clone());
                Ok(keys)
            };
            names.iter().map(&mut each).collect()
        }
        Err(error) => names.iter().map(|_| Err(with_all(&error))).collect(),
    }
}

fn keys_of(key: &SecretKey, name: &TriggerName, rows: &[KeyRow]) -> Result<Option<HookKeys>> {
    let of_it = || rows.iter().filter(|row| row.name == name.as_str());
    let Some(first) = of_it().next() else {
        return Ok(None);
    };
    let trigger = definition(&first.definition)?;
    let secrets: Result<Vec<HeldSecret>> = of_it()
        .filter_map(|row| {
            Some(opened(
                key,
                name,
                row.id?,
                row.sealed.as_deref()?,
                row.ends_at,
            ))
        })
        .collect();
    Ok(Some(HookKeys {
        trigger,
        secrets: secrets?,
    }))
}

fn opened(
    key: &SecretKey,
    name: &TriggerName,
    id: Uuid,
    sealed: &[u8],
    ends_at: Option<OffsetDateTime>,
) -> Result<HeldSecret> {
    let text = key.open(&about(name, id), sealed)?;
    Ok(HeldSecret {
        text: String::from_utf8(text).map_err(|error| corrupt("secret", error))?,
        until: ends_at.map(Moment::from),
    })
}

/// Parses a stored definition.
pub(crate) fn definition(text: &str) -> Result<Trigger> {
    serde_json::from_str(text).map_err(|error| corrupt("trigger", error))
}

fn stored(row: Row) -> Result<StoredTrigger> {
    Ok(StoredTrigger {
        trigger: definition(&row.definition)?,
        revision: row.revision,
        updated_at: row.updated_at.into(),
        secrets: row.secrets.0,
        heard_at: row.heard_at.map(Moment::from),
    })
}
