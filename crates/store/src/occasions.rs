//! Cards that come with what they tell of, in its own transaction: so none of them is ever missing, and nobody waits for a chat.

use std::time::Duration;

use domain::{
    chat::card::{Known, Occasion},
    name::RollbackId,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    error::{Result, corrupt},
    requests::NewRollback,
};

/// The chats that something may be posted in, with the channel of each that has one. Only a chat's definition is read as
/// JSON: nothing that another one may hold can keep what is told from being written.
macro_rules! chats {
    () => {
        "(select t.name, t.chat #>> '{settings,channel}' as channel
          from (select name, case when definition like '%\"kind\":\"slack\"%' then definition::jsonb end as chat
                from trigger where removed_at is null) t
          where t.chat ->> 'kind' = 'slack' and t.chat ->> 'mode' <> 'off')"
    };
}
pub(crate) use chats;

/// How long a rollback that broke the glass gives the chats to say so before it begins. A post takes some tenths of a second;
/// a chat that takes longer is away, and whoever breaks the glass is in a hurry.
const GLASS_HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Tells every chat that has a channel of what is asked for by itself and of broken glass, in the request's transaction.
pub(crate) async fn announce(session: &mut PgConnection, ask: &NewRollback<'_>) -> Result<()> {
    let occasion = match &ask.break_glass {
        Some(_) => Occasion::Glass,
        None if ask.requested_by.is_trigger() => Occasion::Alert,
        // Who else asks by itself is the watcher of held releases.
        None if ask.requested_by.is_automatic() => Occasion::Returned,
        None => return Ok(()),
    };
    let known = Known {
        reason: Some(ask.reason),
        note: ask.note.clone(),
        glass: ask.break_glass.clone(),
        ..Known::default()
    };
    let known = serde_json::to_string(&known).map_err(|error| corrupt("card", error))?;
    let told = sqlx::query(concat!(
        "with made as (
             insert into chat_card (id, trigger_name, channel, occasion, plan_digest, rollback_id, asked_by, known, until)
             select gen_random_uuid(), chat.name, chat.channel, $1, $2, $3, $4, $5, $6
             from ",
        chats!(),
        " chat
             where chat.channel is not null
             returning id
         )
         insert into chat_shown (card_id) select id from made",
    ))
    .bind(occasion.word())
    .bind(ask.plan.digest().as_str())
    .bind(ask.id.0)
    .bind(ask.requested_by.as_str())
    .bind(&known)
    .bind(OffsetDateTime::from(ask.approval_until.unwrap_or(ask.at)))
    .execute(&mut *session)
    .await?;
    match occasion {
        Occasion::Glass if told.rows_affected() > 0 => begin_when_heard(session, ask.id).await,
        Occasion::Glass
        | Occasion::Alert
        | Occasion::Returned
        | Occasion::Plan
        | Occasion::Human => Ok(()),
    }
}

async fn begin_when_heard(session: &mut PgConnection, rollback: RollbackId) -> Result<()> {
    sqlx::query(
        "update rollback_run set wake_at = now() + make_interval(secs => $2) where rollback_id = $1",
    )
    .bind(rollback.0)
    .bind(GLASS_HEARD_WITHIN.as_secs_f64())
    .execute(session)
    .await?;
    Ok(())
}

/// Lets the rollback begin that a card tells of, where the glass was broken for it and no chat is left to say so. Whether it
/// waited for that.
pub(crate) async fn heard(session: &mut PgConnection, card: Uuid) -> Result<bool> {
    let begun = sqlx::query(
        "update rollback_run r set wake_at = now()
         from chat_card c
         where c.id = $1 and c.occasion = $2 and r.rollback_id = c.rollback_id and r.seq = 1 and r.wake_at > now()
           and not exists (
               select from chat_card o join chat_shown s on s.card_id = o.id
               where o.rollback_id = c.rollback_id and o.occasion = $2 and s.message is null and s.ended_at is null)",
    )
    .bind(card)
    .bind(Occasion::Glass.word())
    .execute(session)
    .await?;
    Ok(begun.rows_affected() > 0)
}

/// Calls somebody wherever the rollback is shown and in every chat that has a channel, in the transaction of its end: what it
/// leaves to a person is told to one.
pub(crate) async fn call(session: &mut PgConnection, rollback: RollbackId) -> Result<()> {
    sqlx::query(concat!(
        "with chat as ",
        chats!(),
        ", place as (
             select name, channel from chat where channel is not null
             union
             select c.trigger_name, c.channel from chat_card c join chat on chat.name = c.trigger_name
             where c.rollback_id = $1 and c.channel is not null
         ), made as (
             insert into chat_card (id, trigger_name, channel, occasion, plan_digest, rollback_id, asked_by, known, until)
             select gen_random_uuid(), place.name, place.channel, $2, r.plan_digest, r.id, r.requested_by, '{}', now()
             from place, rollback r where r.id = $1
             returning id
         )
         insert into chat_shown (card_id) select id from made",
    ))
    .bind(rollback.0)
    .bind(Occasion::Human.word())
    .execute(session)
    .await?;
    Ok(())
}
