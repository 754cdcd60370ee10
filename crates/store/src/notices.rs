//! Notices: what is told in chats without a plan, written in the transaction of what it tells of. So none is ever missing or
//! told of what did not happen, and nobody waits for a chat.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    chat::notice::{GATHER, Notice},
    name::TriggerName,
    trigger::Trigger,
};
use sqlx::{PgConnection, postgres::PgRow};
use uuid::Uuid;

use crate::{
    connect::{Store, readable, timed},
    error::{Result, corrupt},
    health::PRUNE_MAX,
    occasions::chats,
    triggers,
};

/// Most notices of one chat that wait to be posted: a chat that was away is told the newest, in a minute or so, and not a
/// day's worth.
pub const NOTICES_BEHIND_MAX: u32 = 50;
/// For how long a notice is kept, in days: as long as a card.
pub const NOTICES_KEPT_DAYS: i32 = 35;

/// A notice that is not shown as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotice {
    /// Its identity.
    pub id: Uuid,
    /// The chat.
    pub chat: Trigger,
    /// Whether the chat was taken out since.
    pub removed: bool,
    /// The channel that it is posted in.
    pub channel: String,
    /// What happened.
    pub notice: Notice,
    /// How much more of the same came since.
    pub more: u32,
    /// Grows with every change.
    pub revision: i32,
    /// The message that shows it.
    pub message: Option<String>,
    /// How often it was tried since it was last shown, this time included.
    pub tries: i32,
    /// How long ago it was made, in seconds.
    pub age_s: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    definition: String,
    removed: bool,
    channel: String,
    notice: String,
    more: i32,
    revision: i32,
    message: Option<String>,
    tries: i32,
    age_s: i64,
}

/// What happened, and by what it is known to be told once.
pub(crate) type Occurrence = (String, Notice);

/// Notices of things that happened, in the transaction in which they are written down. Much of the same is one notice, which
/// counts. It locks what it counts by: whoever calls it does nothing else afterwards.
pub(crate) async fn tell(session: &mut PgConnection, happened: Vec<Occurrence>) -> Result<()> {
    let (mut once, mut gathered) = (Vec::new(), BTreeMap::<String, (Occurrence, i32)>::new());
    for one in happened {
        match one.1.gathers() {
            None => once.push(one),
            Some(gathers) => {
                let same = gathered.entry(gathers);
                same.and_modify(|(_, more)| *more += 1).or_insert((one, 0));
            }
        }
    }
    for one in &once {
        put(session, one, None, 0).await?;
    }
    // In one order, so that two who write the same do not wait for each other.
    for (gathers, (one, more)) in &gathered {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('notice/' || $1, 0))")
            .bind(gathers)
            .execute(&mut *session)
            .await?;
        put(session, one, Some(gathers), *more).await?;
    }
    Ok(())
}

async fn put(
    session: &mut PgConnection,
    (occurrence, notice): &Occurrence,
    gathers: Option<&str>,
    more: i32,
) -> Result<()> {
    let told = serde_json::to_string(notice).map_err(|error| corrupt("notice", error))?;
    sqlx::query(concat!(
        "with counted as (
             update chat_notice set more = more + $5 + 1, revision = revision + 1
             where gathers = $3 and made_at > now() - make_interval(secs => $4) and ended_at is null
             returning trigger_name
         )
         insert into chat_notice (id, trigger_name, channel, occurrence, gathers, notice, more)
         select gen_random_uuid(), chat.name, chat.channel, $1, $3, $2, $5
         from ",
        chats!(),
        " chat
         where chat.channel is not null
           and not exists (select from counted where counted.trigger_name = chat.name)
         on conflict on constraint chat_notice_once do nothing"
    ))
    .bind(occurrence)
    .bind(&told)
    .bind(gathers)
    .bind(Duration::from_millis(GATHER.0).as_secs_f64())
    .bind(more)
    .execute(session)
    .await?;
    Ok(())
}

impl Store {
    /// Gives up the oldest notices of chats that are behind with too many; how many.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notices_behind(&self, said: &str) -> Result<u64> {
        timed(async {
            let given_up = sqlx::query(
                "update chat_notice set ended_at = now(), said = $2 where id in (
                     select id from (
                         select id, row_number() over (partition by trigger_name order by made_at desc, id desc) as place
                         from chat_notice
                         where ended_at is null and shown_revision < revision and message is null
                     ) waiting where place > $1
                 )",
            )
            .bind(i64::from(NOTICES_BEHIND_MAX))
            .bind(said)
            .execute(&self.pool)
            .await?
            .rows_affected();
            Ok(given_up)
        })
        .await
    }

    /// Takes notices that are not shown as they are, each ours for `lease`.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notices_due(&self, limit: u32, lease: Duration) -> Result<Vec<DueNotice>> {
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "with due as (
                     select id from chat_notice
                     where ended_at is null and shown_revision < revision and due_at <= now()
                     order by due_at limit $1 for update skip locked
                 ), taken as (
                     update chat_notice n set due_at = now() + make_interval(secs => $2), tries = n.tries + 1
                     from due where n.id = due.id returning n.*
                 )
                 select taken.id, t.definition, t.removed_at is not null as removed, taken.channel, taken.notice,
                        taken.more, taken.revision, taken.message, taken.tries,
                        extract(epoch from now() - taken.made_at)::bigint as age_s, taken.id::text as row_key
                 from taken join trigger t on t.name = taken.trigger_name
                 order by taken.made_at, taken.id",
            )
            .bind(i64::from(limit.min(64)))
            .bind(lease.as_secs_f64())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        Ok(readable("notice", rows, due))
    }

    /// A notice is shown in this message, and may be shown again so much later. One that counts nothing is not.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notice_shown(
        &self,
        id: Uuid,
        message: &str,
        revision: i32,
        again: Duration,
    ) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_notice
                 set message = $2, shown_revision = $3, tries = 0, said = null,
                     ended_at = case when gathers is null then now() end,
                     due_at = now() + make_interval(secs => $4)
                 where id = $1",
            )
            .bind(id)
            .bind(message)
            .bind(revision)
            .bind(again.as_secs_f64())
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// A notice could not be shown: it is tried again after that, or never.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notice_unshown(
        &self,
        id: Uuid,
        said: &str,
        again: Option<Duration>,
    ) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_notice
                 set said = $2, ended_at = case when $3::float8 is null then now() end,
                     due_at = now() + make_interval(secs => coalesce($3, 0))
                 where id = $1",
            )
            .bind(id)
            .bind(said)
            .bind(again.map(|again| again.as_secs_f64()))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// No notice of a chat is shown for so long.
    pub(crate) async fn chat_notices_rest(
        &self,
        trigger: &TriggerName,
        rest: Duration,
    ) -> Result<()> {
        sqlx::query(
            "update chat_notice set due_at = greatest(due_at, now() + make_interval(secs => $2))
             where trigger_name = $1 and ended_at is null and shown_revision < revision",
        )
        .bind(trigger.as_str())
        .bind(rest.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Clears away notices that are old, so many at a time.
    pub(crate) async fn chat_notices_prune(&self) -> Result<u64> {
        timed(async {
            Ok(sqlx::query(
                "delete from chat_notice where id in (
                     select id from chat_notice where made_at < now() - make_interval(days => $1) limit $2)",
            )
            .bind(NOTICES_KEPT_DAYS)
            .bind(PRUNE_MAX)
            .execute(&self.pool)
            .await?
            .rows_affected())
        })
        .await
    }
}

fn due(row: Row) -> Result<DueNotice> {
    let notice = serde_json::from_str(&row.notice);
    Ok(DueNotice {
        id: row.id,
        chat: triggers::definition(&row.definition)?,
        removed: row.removed,
        channel: row.channel,
        notice: notice.map_err(|error| corrupt("notice", error))?,
        more: row.more.max(0).cast_unsigned(),
        revision: row.revision,
        message: row.message,
        tries: row.tries,
        age_s: row.age_s,
    })
}
