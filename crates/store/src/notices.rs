//! Notices: what is told in chats without a plan, written in the transaction of what it tells of. So none is ever missing or
//! told of what did not happen, and nobody waits for a chat.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    chat::notice::{GATHER, Notice},
    name::{ApplicationName, TriggerName},
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
/// Most notices of a chat that is behind which are looked through at a time, the newest: the next look takes those before.
const BEHIND_READ_MAX: i64 = 1000;
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
    /// What it tells of, as it is known.
    pub(crate) occurrence: String,
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
    occurrence: String,
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
    let counted: Vec<&str> = gathered.keys().map(String::as_str).collect();
    lock(session, &counted, &[]).await?;
    for one in &once {
        put(session, one, None, 0, None).await?;
    }
    for (gathers, (one, more)) in &gathered {
        put(session, one, Some(gathers), *more, None).await?;
    }
    Ok(())
}

/// Locks what is counted by these names, in their order, and then every notice that may be changed, by identity. Whoever
/// changes several does the same, so nobody waits for somebody who waits for them.
async fn lock(session: &mut PgConnection, gathers: &[&str], ids: &[Uuid]) -> Result<()> {
    for name in gathers {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('notice/' || $1, 0))")
            .bind(name)
            .execute(&mut *session)
            .await?;
    }
    if gathers.is_empty() && ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "select from chat_notice
         where id = any($3)
            or (gathers = any($1) and made_at > now() - make_interval(secs => $2) and ended_at is null)
         order by id for no key update",
    )
    .bind(gathers)
    .bind(Duration::from_millis(GATHER.0).as_secs_f64())
    .bind(ids)
    .execute(session)
    .await?;
    Ok(())
}

/// Writes a notice for every chat, or for one, or counts it on one that is there.
async fn put(
    session: &mut PgConnection,
    (occurrence, notice): &Occurrence,
    gathers: Option<&str>,
    more: i32,
    only: Option<&str>,
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
         where chat.channel is not null and ($6::text is null or chat.name = $6)
           and not exists (select from counted where counted.trigger_name = chat.name)
         on conflict on constraint chat_notice_once do nothing"
    ))
    .bind(occurrence)
    .bind(&told)
    .bind(gathers)
    .bind(Duration::from_millis(GATHER.0).as_secs_f64())
    .bind(more)
    .bind(only)
    .execute(session)
    .await?;
    Ok(())
}

/// Notices of the chat that is furthest behind, the newest first.
const BEHIND: &str = "
    select id, trigger_name, notice from chat_notice
    where ended_at is null and shown_revision < revision and message is null and occurrence not like 'behind/%'
      and trigger_name = (
          select trigger_name from chat_notice
          where ended_at is null and shown_revision < revision and message is null and occurrence not like 'behind/%'
          group by trigger_name having count(*) > $1 order by count(*) desc, trigger_name limit 1
      )
    order by made_at desc, id desc limit $2";

/// Which of these, newest first, are too many: what calls nobody goes first, then what is older.
fn surplus(waiting: &[(Uuid, String, String)]) -> Vec<Uuid> {
    // What can not be read is never posted.
    let calls = |told: &str| serde_json::from_str(told).is_ok_and(|told: Notice| told.calls());
    let (first, then): (Vec<_>, Vec<_>) = waiting.iter().partition(|(_, _, told)| calls(told));
    let all = first.into_iter().chain(then).map(|(id, _, _)| *id);
    all.skip(NOTICES_BEHIND_MAX as usize).collect()
}

impl Store {
    /// Gives up notices of the chat that is furthest behind, when it is behind with too many, and tells it how many; how
    /// many. What calls everybody is kept before what does not.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notices_behind(&self, said: &str) -> Result<u64> {
        timed(async {
            let waiting: Vec<(Uuid, String, String)> = sqlx::query_as(BEHIND)
                .bind(i64::from(NOTICES_BEHIND_MAX))
                .bind(BEHIND_READ_MAX)
                .fetch_all(&self.pool)
                .await?;
            let surplus = surplus(&waiting);
            let Some((_, chat, _)) = waiting.first().filter(|_| !surplus.is_empty()) else {
                return Ok(0);
            };
            let notice = Notice::Behind {
                chat: chat.parse().map_err(|error| corrupt("notice", error))?,
            };
            let gathers = format!("behind/{chat}");
            let mut tx = self.pool.begin().await?;
            lock(&mut tx, &[&gathers], &surplus).await?;
            let given_up = sqlx::query(
                "update chat_notice set ended_at = now(), said = $2
                 where id = any($1) and ended_at is null and message is null",
            )
            .bind(&surplus)
            .bind(said)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if let Some(more) = i32::try_from(given_up)
                .ok()
                .and_then(|all| all.checked_sub(1))
                .filter(|more| *more >= 0)
            {
                let one = (format!("behind/{}", Uuid::now_v7()), notice);
                put(&mut tx, &one, Some(&gathers), more, Some(chat)).await?;
            }
            tx.commit().await?;
            Ok(given_up)
        })
        .await
    }

    /// Why a notice is not news any more, when what it tells of is over by now; none while it holds.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notice_over(&self, due: &DueNotice) -> Result<Option<&'static str>> {
        let id = |prefix: &str| -> Option<Uuid> {
            let rest = due.occurrence.strip_prefix(prefix)?;
            rest.split('/').next()?.parse().ok()
        };
        match &due.notice {
            Notice::Deadline { .. } => {
                let open = match id("deadline/") {
                    Some(id) => self.triage_is_open(id).await?,
                    None => true,
                };
                let over = "somebody decided anew since, or a rollback was asked for";
                Ok((!open).then_some(over))
            }
            Notice::Returned { application, .. } => {
                let open = self.return_open(application).await?;
                let still = open.is_some_and(|open| id("returned/") == Some(open.deployment));
                Ok((!still).then_some("it went away since, or its hold was released"))
            }
            Notice::Proposal {
                application, code, ..
            } => {
                let acted = self.acted_since(due.id, application, code).await?;
                Ok(acted.then_some("a rollback was asked for since, or something was deployed"))
            }
            Notice::WayBack {
                application,
                releases,
            } => {
                let versions = releases.iter().map(|one| one.version.as_str()).collect();
                let broken = self.any_is_broken(application, versions).await?;
                Ok((!broken).then_some("the way back is whole again"))
            }
            Notice::Behind { .. } => Ok(None),
        }
    }

    /// Whether a rollback was asked for, or something deployed, since the last alert that a notice counts.
    async fn acted_since(
        &self,
        id: Uuid,
        application: &ApplicationName,
        code: &str,
    ) -> Result<bool> {
        timed(async {
            Ok(sqlx::query_scalar(
                "with last as (
                     select greatest(n.made_at, (
                         select d.decided_at from decision d
                         where d.application = $2 and d.code = $3 and d.outcome = 'proposed' and d.rollback_id is null
                         order by d.id desc limit 1)) as at
                     from chat_notice n where n.id = $1
                 )
                 select exists (select from rollback r, last where r.application = $2 and r.requested_at > last.at)
                     or exists (
                         select from last, deployment d join deployment_fact f on f.deployment_id = d.id
                         where d.application = $2 and d.deployed_at > last.at
                           and f.state <> 'refused' and f.merged_into is null)",
            )
            .bind(id)
            .bind(application.as_str())
            .bind(code)
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// Whether any of these could not come back, as it was last computed.
    async fn any_is_broken(
        &self,
        application: &ApplicationName,
        versions: Vec<&str>,
    ) -> Result<bool> {
        timed(async {
            Ok(sqlx::query_scalar(
                "select exists (select from release_readiness
                                where application = $1 and version = any($2) and broken)",
            )
            .bind(application.as_str())
            .bind(versions)
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// Takes notices that are not shown as they are, each ours for `lease`; none of the chats in `but`.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_notices_due(
        &self,
        limit: u32,
        lease: Duration,
        but: &[&TriggerName],
    ) -> Result<Vec<DueNotice>> {
        let but: Vec<&str> = but.iter().map(|name| name.as_str()).collect();
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "with due as (
                     select id from chat_notice
                     where ended_at is null and shown_revision < revision and due_at <= now()
                       and trigger_name <> all($3)
                     order by due_at limit $1 for update skip locked
                 ), taken as (
                     update chat_notice n set due_at = now() + make_interval(secs => $2), tries = n.tries + 1
                     from due where n.id = due.id returning n.*
                 )
                 select taken.id, t.definition, t.removed_at is not null as removed, taken.channel,
                        taken.occurrence, taken.notice, taken.more, taken.revision, taken.message, taken.tries,
                        extract(epoch from now() - taken.made_at)::bigint as age_s, taken.id::text as row_key
                 from taken join trigger t on t.name = taken.trigger_name
                 order by taken.made_at, taken.id",
            )
            .bind(i64::from(limit.min(64)))
            .bind(lease.as_secs_f64())
            .bind(but)
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
            "with waiting as (
                 select id from chat_notice
                 where trigger_name = $1 and ended_at is null and shown_revision < revision
                 order by id for no key update
             )
             update chat_notice n set due_at = greatest(n.due_at, now() + make_interval(secs => $2))
             from waiting where n.id = waiting.id",
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
                     select id from chat_notice where made_at < now() - make_interval(days => $1) limit $2
                     for update skip locked)",
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
        occurrence: row.occurrence,
        notice: notice.map_err(|error| corrupt("notice", error))?,
        more: row.more.max(0).cast_unsigned(),
        revision: row.revision,
        message: row.message,
        tries: row.tries,
        age_s: row.age_s,
    })
}
