//! Cards that come with what they tell of, in its own transaction: so none of them is ever missing, and nobody waits for a chat.

use domain::{
    chat::card::{Known, Occasion},
    name::RollbackId,
};
use sqlx::PgConnection;
use time::OffsetDateTime;

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
    sqlx::query(concat!(
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
    .execute(session)
    .await?;
    Ok(())
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
