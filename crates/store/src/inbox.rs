//! What triggers told us, kept before anything is answered, and taken to be decided. It reads no body.

use std::time::Duration;

use domain::{
    name::TriggerName,
    time::Moment,
    trigger::{Headers, Trigger},
};
use sqlx::{postgres::PgRow, types::Json};
use time::OffsetDateTime;

use crate::{
    connect::{Store, readable, timed},
    error::{Result, corrupt},
    seal::SecretKey,
    sessions::Sessions,
    together::all_or_each,
    triggers,
    wake::Topic,
};

/// How long an event's identity is remembered: the most patient sender tries for two days, and a person may have one
/// delivered again weeks later.
pub const INBOX_DAYS: u32 = 35;
/// Most messages that one turn takes.
const DUE_MAX: u32 = 64;
/// How often a sealed message is taken before it is given up where its key is not here: another process may have it, but
/// nobody shall wait for one that is gone.
const OPEN_TRIES: i32 = 4;

/// A verified message.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// From which trigger.
    pub trigger: TriggerName,
    /// Which event it tells of.
    pub event_id: String,
    /// The headers that its reading needs.
    pub headers: Headers,
    /// Its body, byte for byte.
    pub body: Vec<u8>,
    /// How long it rests before it is decided.
    pub settle: Duration,
    /// Whose it is to take up.
    pub desk: Desk,
}

/// Who takes a message up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    /// A worker: it tells of alerts and deployments.
    Intake,
    /// The API: a person asks for something in a chat.
    Chat,
}

/// A message that is to be decided.
#[derive(Clone, Debug)]
pub struct Due {
    /// The trigger as it is now; what was set since counts.
    pub trigger: Trigger,
    /// Whether somebody took the trigger out since.
    pub removed: bool,
    /// Which event.
    pub event_id: String,
    /// The headers.
    pub headers: Headers,
    /// The body; empty when it can not be opened.
    pub body: Vec<u8>,
    /// Why the body can not be opened, and never will be.
    pub lost: Option<String>,
    /// When it came.
    pub received_at: Moment,
    /// How often it was taken, this time included.
    pub tries: i32,
}

#[derive(sqlx::FromRow)]
struct Row {
    definition: String,
    removed: bool,
    event_id: String,
    headers: Json<Headers>,
    body: Vec<u8>,
    sealed: bool,
    received_at: OffsetDateTime,
    tries: i32,
}

/// What the body of a chat's message is sealed for: an address is in it that is as good as a password for a while.
fn about(trigger: &str, event_id: &str) -> String {
    format!("inbox {trigger} {event_id}")
}

impl Store {
    /// Keeps a message; whether its event is new. When this returns, it is kept whatever dies. An event that was decided
    /// is known for ever: decisions outlive the messages. Messages that come at once are kept in one commit.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inbox_put(&self, mut message: NewMessage) -> Result<bool> {
        if message.desk == Desk::Chat {
            let about = about(message.trigger.as_str(), &message.event_id);
            message.body = self.key.seal(&about, &message.body);
        }
        let sessions = self.intake.clone();
        let put = |messages| {
            all_or_each(messages, async move |messages: &[NewMessage]| {
                put(&sessions, messages).await
            })
        };
        let (bytes, desk) = (message.body.len(), message.desk);
        let new = self.inbox.ask(message, bytes, put).await?;
        if new {
            // Not to other processes: a storm of alerts would queue at the server's one lock for that. They poll. And not
            // to those who look for other work: each would ask for it as often as alerts come.
            self.wake.notify(match desk {
                Desk::Intake => Topic::Messages,
                Desk::Chat => Topic::Work,
            });
        }
        Ok(new)
    }

    /// Whether an event was kept before.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inbox_knows(&self, trigger: &TriggerName, event_id: &str) -> Result<bool> {
        timed(async {
            let mut session = self.intake.take().await?;
            let known = sqlx::query_scalar(
                "select exists (select from inbox where trigger_name = $1 and event_id = $2)",
            )
            .bind(trigger.as_str())
            .bind(event_id)
            .fetch_one(&mut *session)
            .await?;
            self.intake.keep(session);
            Ok(known)
        })
        .await
    }

    /// Takes messages that are due, each ours for `lease`. What dies with us is due again then.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inbox_due(&self, desk: Desk, limit: u32, lease: Duration) -> Result<Vec<Due>> {
        let rows: Vec<PgRow> = timed(async {
            let mut session = self.intake.take().await?;
            let rows = sqlx::query(
                "with taken as (
                     update inbox_due d set decide_at = now() + make_interval(secs => $2), tries = d.tries + 1
                     where d.ctid = any (array(
                         select ctid from inbox_due where decide_at <= now() and chat = $3
                         order by decide_at limit $1 for update skip locked))
                     returning d.trigger_name, d.event_id, d.tries,
                               -- A claim that a crash forgets is made again: nobody waits for the disk.
                               set_config('synchronous_commit', 'off', true)
                 )
                 select t.definition, t.removed_at is not null as removed, i.event_id, i.headers, i.body, i.sealed,
                        i.received_at, taken.tries, t.name || ' ' || i.event_id as row_key
                 -- One by one: joined, they are read by half of the key where statistics are old.
                 from taken,
                     lateral (select * from inbox
                              where trigger_name = taken.trigger_name and event_id = taken.event_id offset 0) i,
                     lateral (select * from trigger where name = taken.trigger_name offset 0) t",
            )
            .bind(i64::from(limit.min(DUE_MAX)))
            .bind(lease.as_secs_f64())
            .bind(desk == Desk::Chat)
            .fetch_all(&mut *session)
            .await?;
            self.intake.keep(session);
            Ok(rows)
        })
        .await?;
        let mut due = readable("message", rows, |row| due(&self.key, row));
        due.sort_by_key(|due| due.received_at);
        Ok(due)
    }

    /// A message is to be decided then, and not before.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inbox_later(
        &self,
        trigger: &TriggerName,
        event_id: &str,
        at: Moment,
    ) -> Result<()> {
        timed(async {
            let mut session = self.intake.take().await?;
            // Waiting is no failed try.
            sqlx::query(
                "update inbox_due set decide_at = $3, tries = 0 where trigger_name = $1 and event_id = $2",
            )
            .bind(trigger.as_str())
            .bind(event_id)
            .bind(OffsetDateTime::from(at))
            .execute(&mut *session)
            .await?;
            self.intake.keep(session);
            Ok(())
        })
        .await
    }

    /// Clears away messages that are decided and old.
    pub(crate) async fn inbox_prune(&self) -> Result<u64> {
        self.cleared(
            "delete from inbox where (trigger_name, event_id) in (
                 select trigger_name, event_id from inbox i
                 where i.received_at < now() - interval '35 days'
                   and not exists (select from inbox_due d
                                   where d.trigger_name = i.trigger_name and d.event_id = i.event_id)
                 limit $1)",
        )
        .await
    }
}

/// Keeps messages; whether each one's event is new.
async fn put(sessions: &Sessions, messages: &[NewMessage]) -> Result<Vec<bool>> {
    let triggers: Vec<&str> = messages.iter().map(|new| new.trigger.as_str()).collect();
    let events: Vec<&str> = messages.iter().map(|new| new.event_id.as_str()).collect();
    let headers: Vec<Json<&Headers>> = messages.iter().map(|new| Json(&new.headers)).collect();
    let bodies: Vec<&[u8]> = messages.iter().map(|new| new.body.as_slice()).collect();
    let settles: Vec<f64> = messages
        .iter()
        .map(|new| new.settle.as_secs_f64())
        .collect();
    // Those of chats are sealed.
    let chats: Vec<bool> = messages.iter().map(|new| new.desk == Desk::Chat).collect();
    // Of an event that is told twice at once the first is kept.
    let mut session = sessions.take().await?;
    let kept: Vec<i64> = sqlx::query_scalar(
        "with told as (
             select distinct on (trigger_name, event_id) *
             from unnest($1::text[], $2::text[], $3::jsonb[], $4::bytea[], $5::float8[], $6::bool[])
                  with ordinality as told (trigger_name, event_id, headers, body, settle, chat, place)
             order by trigger_name, event_id, place
         ), kept as (
             insert into inbox (trigger_name, event_id, headers, body, sealed)
             select trigger_name, event_id, headers, body, chat from told
             where (select true from decision d
                    where d.trigger_name = told.trigger_name and d.event_id = told.event_id limit 1) is null
             on conflict on constraint inbox_key do nothing
             returning trigger_name, event_id
         ), due as (
             insert into inbox_due (trigger_name, event_id, decide_at, chat)
             select kept.trigger_name, kept.event_id, now() + make_interval(secs => told.settle), told.chat
             from kept join told using (trigger_name, event_id)
         )
         select told.place from kept join told using (trigger_name, event_id)",
    )
    .bind(triggers)
    .bind(events)
    .bind(headers)
    .bind(bodies)
    .bind(settles)
    .bind(chats)
    .fetch_all(&mut *session)
    .await?;
    sessions.keep(session);
    let mut new = vec![false; messages.len()];
    for place in kept {
        let at = usize::try_from(place - 1).ok();
        let one = at.and_then(|at| new.get_mut(at));
        *one.ok_or_else(|| corrupt("message", "it was kept in no place"))? = true;
    }
    Ok(new)
}

fn due(key: &SecretKey, row: Row) -> Result<Due> {
    if row.event_id.is_empty() {
        return Err(corrupt("message", "it has no identity"));
    }
    let trigger = triggers::definition(&row.definition)?;
    let (body, lost) = match row.sealed {
        true => match key.open(&about(trigger.name.as_str(), &row.event_id), &row.body) {
            Ok(body) => (body, None),
            Err(error) if row.tries < OPEN_TRIES => return Err(error.into()),
            Err(error) => (Vec::new(), Some(error.to_string())),
        },
        false => (row.body, None),
    };
    Ok(Due {
        trigger,
        removed: row.removed,
        event_id: row.event_id,
        headers: row.headers.0,
        body,
        lost,
        received_at: row.received_at.into(),
        tries: row.tries,
    })
}
