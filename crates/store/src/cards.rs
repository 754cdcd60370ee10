//! Cards: what is shown in a channel of a plan and its rollback, and how far it is shown. Nobody waits for a chat, but broken
//! glass a little (`occasions`).

use std::time::Duration;

use domain::{
    chat::card::{Known, Occasion, State},
    name::{Actor, PlanDigest, RollbackId, TriggerName},
    time::Moment,
    trigger::Trigger,
};
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, readable, timed},
    error::{Result, corrupt},
    occasions, triggers,
    wake::Topic,
};

/// Most cards of takers that did not come back that are told of at a time.
const BROKEN_MAX: i64 = 64;

/// A card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatCard {
    /// Its identity.
    pub id: Uuid,
    /// The chat.
    pub trigger: TriggerName,
    /// The channel that it is shown in.
    pub channel: Option<String>,
    /// Why there is one.
    pub occasion: Occasion,
    /// The plan.
    pub plan: PlanDigest,
    /// The rollback, once there is one.
    pub rollback: Option<RollbackId>,
    /// Who asked for the plan.
    pub asked_by: Actor,
    /// What was known besides.
    pub known: Known,
    /// What became of the plan.
    pub state: State,
    /// By whom or why.
    pub said: Option<String>,
    /// Grows with every change.
    pub revision: i32,
    /// Until when it can be asked for.
    pub until: Moment,
}

/// A card that is not shown as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCard {
    /// The card.
    pub card: ChatCard,
    /// The chat.
    pub chat: Trigger,
    /// Whether the chat was taken out since.
    pub removed: bool,
    /// The message that shows it.
    pub message: Option<String>,
    /// How often it was tried since it was last shown, this time included.
    pub tries: i32,
    /// How long ago it was made, in seconds.
    pub age_s: i64,
}

/// What was shown of a card.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Which card.
    pub card: Uuid,
    /// The message that shows it now.
    pub message: &'a str,
    /// Which revision of the card.
    pub revision: i32,
    /// Up to which event of its rollback.
    pub seq: i32,
    /// Whether it will never look otherwise.
    pub last: bool,
    /// How soon it may be shown again.
    pub again: Duration,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    trigger_name: String,
    channel: Option<String>,
    occasion: String,
    plan_digest: String,
    rollback_id: Option<Uuid>,
    asked_by: String,
    known: String,
    state: String,
    said: Option<String>,
    revision: i32,
    until: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    #[sqlx(flatten)]
    card: Row,
    definition: String,
    removed: bool,
    message: Option<String>,
    tries: i32,
    age_s: i64,
}

impl Store {
    /// Makes a card; made again, it stays as it is.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_put(&self, card: &ChatCard) -> Result<()> {
        let known = serde_json::to_string(&card.known).map_err(|error| corrupt("card", error))?;
        timed(async {
            sqlx::query(
                "with made as (
                     insert into chat_card (id, trigger_name, channel, occasion, plan_digest, asked_by, known, until)
                     values ($1, $2, $3, $4, $5, $6, $7, $8)
                     on conflict on constraint chat_card_key do nothing
                     returning id, channel
                 )
                 insert into chat_shown (card_id) select id from made where channel is not null",
            )
            .bind(card.id)
            .bind(card.trigger.as_str())
            .bind(&card.channel)
            .bind(card.occasion.word())
            .bind(card.plan.as_str())
            .bind(card.asked_by.as_str())
            .bind(&known)
            .bind(OffsetDateTime::from(card.until))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.announce(Topic::Work);
        Ok(())
    }

    /// A chat's card by its identity, or its newest one of that rollback.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_find(
        &self,
        trigger: &TriggerName,
        id: Uuid,
    ) -> Result<Option<ChatCard>> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select id, trigger_name, channel, occasion, plan_digest, rollback_id, asked_by, known, state, said,
                        revision, until
                 from chat_card where trigger_name = $1 and (id = $2 or rollback_id = $2)
                 order by occasion = 'human', made_at desc limit 1",
            )
            .bind(trigger.as_str())
            .bind(id)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        row.map(card).transpose()
    }

    /// Whether the plan of a card is this message's to ask for: nobody can deny it meanwhile, and its time can not run out.
    /// The same message has it again after whoever took it up died.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_take(&self, id: Uuid, message: &str) -> Result<bool> {
        timed(async {
            let taken = sqlx::query(
                "update chat_card set state = 'taken', said = $2, revision = revision + 1
                 where id = $1 and rollback_id is null
                   and ((state = 'open' and until > now()) or (state = 'taken' and said = $2))",
            )
            .bind(id)
            .bind(message)
            .execute(&self.pool)
            .await?
            .rows_affected();
            Ok(taken > 0)
        })
        .await
    }

    /// It was not asked for after all: anybody may.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_give_back(&self, id: Uuid, message: &str) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_card set state = 'open', said = null, revision = revision + 1
                 where id = $1 and rollback_id is null and state = 'taken' and said = $2",
            )
            .bind(id)
            .bind(message)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.announce(Topic::Work);
        Ok(())
    }

    /// Says of cards that are taken, by messages that nothing is done with any more, what came of that: the rollback that
    /// was asked for after all, by somebody of the chat and for what the card shows, or that nothing did. A key is its
    /// principal's own: anybody else's of the same name says nothing. How many there were.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_cards_broken(&self, said: &str) -> Result<u64> {
        timed(async {
            let told = sqlx::query(
                "with lost as (
                     select c.id,
                            (select i.rollback_id from idempotency i join rollback r on r.id = i.rollback_id
                             where i.key = 'chat/' || c.id and r.plan_digest = c.plan_digest
                               and (i.principal = c.asked_by
                                    or i.principal in (select p.person from chat_person p
                                                       where p.trigger_name = c.trigger_name))
                             order by i.created_at limit 1) as asked
                     from chat_card c
                     where c.state = 'taken' and c.rollback_id is null
                       and not exists (select from inbox_due d
                                       where d.trigger_name = c.trigger_name and d.event_id = c.said)
                     limit $2 for update of c skip locked
                 )
                 update chat_card c
                 set rollback_id = lost.asked, revision = revision + 1,
                     state = case when lost.asked is null then 'broken' else 'open' end,
                     said = case when lost.asked is null then $1 end
                 from lost where c.id = lost.id",
            )
            .bind(said)
            .bind(BROKEN_MAX)
            .execute(&self.pool)
            .await?
            .rows_affected();
            Ok(told)
        })
        .await
    }

    /// The card tells of this rollback from now on. The first one stays.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_bind(&self, id: Uuid, rollback: RollbackId) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_card set rollback_id = $2, state = 'open', said = null, revision = revision + 1
                 where id = $1 and rollback_id is null",
            )
            .bind(id)
            .bind(rollback.0)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.announce(Topic::Work);
        Ok(())
    }

    /// The plan of a card will not be asked for; whether it still could.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_close(&self, id: Uuid, state: State, said: &str) -> Result<bool> {
        let closed = timed(async {
            Ok(sqlx::query(
                "update chat_card set state = $2, said = $3, revision = revision + 1
                 where id = $1 and (state = 'open' or (state = 'taken' and $2 = 'stale')) and rollback_id is null",
            )
            .bind(id)
            .bind(state.word())
            .bind(said)
            .execute(&self.pool)
            .await?
            .rows_affected())
        })
        .await?;
        self.announce(Topic::Work);
        Ok(closed > 0)
    }

    /// Takes cards that are not shown as they are, each ours for `lease`; none of the chats in `but`.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_cards_due(
        &self,
        limit: u32,
        lease: Duration,
        but: &[&TriggerName],
    ) -> Result<Vec<DueCard>> {
        let but: Vec<&str> = but.iter().map(|name| name.as_str()).collect();
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "with due as (
                     select s.card_id from chat_shown s
                     join chat_card c on c.id = s.card_id
                     left join rollback_run r on r.rollback_id = c.rollback_id
                     where s.ended_at is null and s.due_at <= now() and c.trigger_name <> all($3)
                       and (c.revision > s.shown_revision or coalesce(r.seq, 0) > s.shown_seq
                            or (c.rollback_id is null and c.state = 'open' and c.until <= now()))
                     order by s.due_at limit $1 for update of s skip locked
                 ), taken as (
                     update chat_shown s set due_at = now() + make_interval(secs => $2), tries = s.tries + 1
                     from due where s.card_id = due.card_id
                     returning s.card_id, s.message, s.tries
                 )
                 select c.id, c.trigger_name, c.channel, c.occasion, c.plan_digest, c.rollback_id, c.asked_by, c.known,
                        c.state, c.said, c.revision, c.until, t.definition, t.removed_at is not null as removed,
                        taken.message, taken.tries, extract(epoch from now() - c.made_at)::bigint as age_s,
                        c.id::text as row_key
                 from taken
                 join chat_card c on c.id = taken.card_id
                 join trigger t on t.name = c.trigger_name
                 order by c.made_at",
            )
            .bind(i64::from(limit.min(64)))
            .bind(lease.as_secs_f64())
            .bind(but)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        Ok(readable("card", rows, due))
    }

    /// A card is shown.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_shown(&self, shown: &Shown<'_>) -> Result<()> {
        let begins = timed(async {
            let mut tx = self.pool.begin().await?;
            sqlx::query(
                "update chat_shown
                 set message = $2, shown_revision = $3, shown_seq = $4, tries = 0, said = null,
                     ended_at = case when $5 then now() end, due_at = now() + make_interval(secs => $6)
                 where card_id = $1",
            )
            .bind(shown.card)
            .bind(shown.message)
            .bind(shown.revision)
            .bind(shown.seq)
            .bind(shown.last)
            .bind(shown.again.as_secs_f64())
            .execute(&mut *tx)
            .await?;
            let begins = occasions::heard(&mut tx, shown.card).await?;
            tx.commit().await?;
            Ok(begins)
        })
        .await?;
        if begins {
            self.announce(Topic::Work);
        }
        Ok(())
    }

    /// A card could not be shown: it is tried again after that, or never.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_unshown(
        &self,
        card: Uuid,
        said: &str,
        again: Option<Duration>,
    ) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_shown
                 set said = $2, ended_at = case when $3::float8 is null then now() end,
                     due_at = now() + make_interval(secs => coalesce($3, 0))
                 where card_id = $1",
            )
            .bind(card)
            .bind(said)
            .bind(again.map(|again| again.as_secs_f64()))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// The message of a card is no longer there: it is posted again.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_card_lost(&self, card: Uuid) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_shown set message = null, shown_revision = 0, due_at = now() where card_id = $1",
            )
            .bind(card)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Nothing of a chat is shown for so long: it said that too much comes.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_rest(&self, trigger: &TriggerName, rest: Duration) -> Result<()> {
        timed(async {
            sqlx::query(
                "with mine as (
                     select s.card_id from chat_shown s join chat_card c on c.id = s.card_id
                     where c.trigger_name = $1 and s.ended_at is null
                     order by s.card_id for no key update of s
                 )
                 update chat_shown s set due_at = greatest(s.due_at, now() + make_interval(secs => $2))
                 from mine where s.card_id = mine.card_id",
            )
            .bind(trigger.as_str())
            .bind(rest.as_secs_f64())
            .execute(&self.pool)
            .await?;
            self.chat_notices_rest(trigger, rest).await
        })
        .await
    }

    /// Clears away cards that nothing changes any more, and answers that nobody takes.
    pub(crate) async fn chat_prune(&self) -> Result<u64> {
        let cards = self.cleared(
            "delete from chat_card where id in (
                 select c.id from chat_card c left join rollback_run r on r.rollback_id = c.rollback_id
                 where c.made_at < now() - interval '35 days' and (r.rollback_id is null or r.ended_at is not null)
                 limit $1)",
        );
        let answers = self.cleared(
            "delete from chat_answer where id in (
                 select id from chat_answer where made_at < now() - interval '1 hour' limit $1)",
        );
        Ok(cards.await? + answers.await?)
    }
}

fn card(row: Row) -> Result<ChatCard> {
    let bad = |error| corrupt("card", error);
    let occasion = Occasion::ALL
        .into_iter()
        .find(|occasion| occasion.word() == row.occasion);
    let state = State::ALL
        .into_iter()
        .find(|state| state.word() == row.state);
    Ok(ChatCard {
        id: row.id,
        trigger: row.trigger_name.parse().map_err(bad)?,
        channel: row.channel,
        occasion: occasion.ok_or_else(|| corrupt("card", "its occasion is not known"))?,
        plan: row.plan_digest.parse().map_err(bad)?,
        rollback: row.rollback_id.map(RollbackId),
        asked_by: row.asked_by.parse().map_err(bad)?,
        known: serde_json::from_str(&row.known).map_err(|error| corrupt("card", error))?,
        state: state.ok_or_else(|| corrupt("card", "its state is not known"))?,
        said: row.said,
        revision: row.revision,
        until: row.until.into(),
    })
}

fn due(row: DueRow) -> Result<DueCard> {
    Ok(DueCard {
        card: card(row.card)?,
        chat: triggers::definition(&row.definition)?,
        removed: row.removed,
        message: row.message,
        tries: row.tries,
        age_s: row.age_s,
    })
}
