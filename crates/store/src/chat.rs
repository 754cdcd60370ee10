//! Who the users of a chat are to us, the token that is posted with, and answers on their way. It decides nothing.

use std::time::Duration;

use domain::{
    name::{Actor, ApplicationName, ChatUser, TriggerName},
    time::Moment,
    trigger::Trigger,
};
use serde_json::json;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, readable, timed},
    error::{Error, Result, corrupt},
    page::{Listed, Page},
    tokens::Role,
    triggers::{self, living},
    wake::Topic,
};

/// A user of a chat, and the person that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatPerson {
    /// The user.
    pub user: ChatUser,
    /// The person.
    pub person: Actor,
    /// What they may do.
    pub role: Role,
    /// On which applications; none: all.
    pub applications: Option<Vec<ApplicationName>>,
    /// Who said so.
    pub mapped_by: Actor,
    /// When.
    pub mapped_at: Moment,
}

/// An answer to one person that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatAnswer {
    /// Its identity.
    pub id: Uuid,
    /// The chat.
    pub trigger: Trigger,
    /// Where it is taken.
    pub url: String,
    /// What it says.
    pub text: String,
    /// How often it was tried, this time included.
    pub tries: i32,
}

#[derive(sqlx::FromRow)]
struct Row {
    chat_user: String,
    person: String,
    role: String,
    applications: Option<Vec<String>>,
    mapped_by: String,
    mapped_at: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
struct AnswerRow {
    id: Uuid,
    definition: String,
    url: Option<String>,
    url_sealed: Option<Vec<u8>>,
    text: String,
    tries: i32,
}

/// What the token is sealed for: it opens for no other chat.
fn about(trigger: &TriggerName) -> String {
    format!("chat {trigger} bot")
}

/// What the address of an answer is sealed for.
fn about_answer(id: Uuid) -> String {
    format!("chat answer {id}")
}

impl Store {
    /// Says who a user of a chat is; said again, the newest counts.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such trigger, or as every store function.
    pub async fn chat_person_put(&self, trigger: &TriggerName, new: &ChatPerson) -> Result<()> {
        let names: Option<Vec<&str>> = new
            .applications
            .as_ref()
            .map(|names| names.iter().map(ApplicationName::as_str).collect());
        timed(async {
            let mut tx = self.pool.begin().await?;
            living(&mut tx, trigger).await?;
            sqlx::query(
                "insert into chat_person (trigger_name, chat_user, person, role, applications, mapped_by)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict on constraint chat_person_key do update
                 set person = excluded.person, role = excluded.role, applications = excluded.applications,
                     mapped_by = excluded.mapped_by, mapped_at = now()",
            )
            .bind(trigger.as_str())
            .bind(new.user.as_str())
            .bind(new.person.as_str())
            .bind(new.role.word())
            .bind(&names)
            .bind(new.mapped_by.as_str())
            .execute(&mut *tx)
            .await?;
            let object = format!("trigger/{trigger}");
            let detail = json!({"user": new.user, "person": new.person, "role": new.role,
                                "applications": new.applications});
            audit::enter(&mut tx, &new.mapped_by, "chat.map", &object, detail).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Who a user of a chat is, if anybody said so.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_person_get(
        &self,
        trigger: &TriggerName,
        user: &ChatUser,
    ) -> Result<Option<ChatPerson>> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select chat_user, person, role, applications, mapped_by, mapped_at from chat_person
                 where trigger_name = $1 and chat_user = $2",
            )
            .bind(trigger.as_str())
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        row.map(person).transpose()
    }

    /// The persons of a chat, by user.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_person_list(
        &self,
        trigger: &TriggerName,
        page: &Page<ChatUser>,
    ) -> Result<Listed<ChatPerson, ChatUser>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select chat_user, person, role, applications, mapped_by, mapped_at from chat_person
                 where trigger_name = $1 and ($2::text is null or chat_user > $2)
                 order by chat_user limit $3",
            )
            .bind(trigger.as_str())
            .bind(page.after.as_ref().map(ChatUser::as_str))
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<ChatPerson>> = rows.into_iter().map(person).collect();
        Ok(page.listed(items?, |person| person.user.clone()))
    }

    /// Nobody is that user any more.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn chat_person_remove(
        &self,
        trigger: &TriggerName,
        user: &ChatUser,
        by: &Actor,
    ) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let removed =
                sqlx::query("delete from chat_person where trigger_name = $1 and chat_user = $2")
                    .bind(trigger.as_str())
                    .bind(user.as_str())
                    .execute(&mut *tx)
                    .await?;
            if removed.rows_affected() == 0 {
                return Err(Error::NotFound("user of that chat"));
            }
            let object = format!("trigger/{trigger}");
            audit::enter(&mut tx, by, "chat.unmap", &object, json!({"user": user})).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Keeps the token that a chat's messages are posted with, sealed; the one before it is gone.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such trigger, or as every store function.
    pub async fn chat_bot_put(&self, trigger: &TriggerName, token: &str, by: &Actor) -> Result<()> {
        let sealed = self.key.seal(&about(trigger), token.as_bytes());
        timed(async {
            let mut tx = self.pool.begin().await?;
            living(&mut tx, trigger).await?;
            sqlx::query(
                "insert into chat_bot (trigger_name, sealed, set_by) values ($1, $2, $3)
                 on conflict on constraint chat_bot_key do update
                 set sealed = excluded.sealed, set_by = excluded.set_by, set_at = now()",
            )
            .bind(trigger.as_str())
            .bind(&sealed)
            .bind(by.as_str())
            .execute(&mut *tx)
            .await?;
            // What could not be shown before is tried again now.
            sqlx::query(
                "with mine as (
                     select s.card_id from chat_shown s join chat_card c on c.id = s.card_id
                     where c.trigger_name = $1 and s.ended_at is null
                     order by s.card_id for no key update of s
                 )
                 update chat_shown s set due_at = now() from mine where s.card_id = mine.card_id",
            )
            .bind(trigger.as_str())
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "with mine as (
                     select id from chat_notice
                     where trigger_name = $1 and ended_at is null and shown_revision < revision
                     order by id for no key update
                 )
                 update chat_notice n set due_at = now() from mine where n.id = mine.id",
            )
            .bind(trigger.as_str())
            .execute(&mut *tx)
            .await?;
            let object = format!("trigger/{trigger}");
            audit::enter(&mut tx, by, "chat.bot", &object, json!({})).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// The token that a chat's messages are posted with.
    ///
    /// # Errors
    /// [`Error::KeyLost`] when it is sealed with another key, or as every store function.
    pub async fn chat_bot(&self, trigger: &TriggerName) -> Result<Option<String>> {
        let sealed: Option<Vec<u8>> = timed(async {
            Ok(
                sqlx::query_scalar("select sealed from chat_bot where trigger_name = $1")
                    .bind(trigger.as_str())
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let token = self.key.open(&about(trigger), &sealed)?;
        String::from_utf8(token)
            .map(Some)
            .map_err(|error| corrupt("token of a chat", error))
    }

    /// An answer to whoever asked. Said twice for one event, it is one. Its address is as good as a password, and sealed.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_answer_put(
        &self,
        id: Uuid,
        trigger: &TriggerName,
        url: &str,
        text: &str,
    ) -> Result<()> {
        let sealed = self.key.seal(&about_answer(id), url.as_bytes());
        timed(async {
            sqlx::query(
                "insert into chat_answer (id, trigger_name, url_sealed, text) values ($1, $2, $3, $4)
                 on conflict on constraint chat_answer_key do nothing",
            )
            .bind(id)
            .bind(trigger.as_str())
            .bind(&sealed)
            .bind(text)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.announce(Topic::Work);
        Ok(())
    }

    /// Takes answers that are due, each ours for `lease`. None is worth sending after half an hour: nobody takes it.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_answers_due(&self, limit: u32, lease: Duration) -> Result<Vec<ChatAnswer>> {
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "with due as (
                     select id from chat_answer where due_at <= now() and made_at > now() - interval '30 minutes'
                     order by due_at limit $1 for update skip locked
                 ), taken as (
                     update chat_answer a set due_at = now() + make_interval(secs => $2), tries = a.tries + 1
                     from due where a.id = due.id
                     returning a.id, a.trigger_name, a.url, a.url_sealed, a.text, a.tries, a.made_at
                 )
                 select taken.id, t.definition, taken.url, taken.url_sealed, taken.text, taken.tries,
                        taken.id::text as row_key
                 from taken join trigger t on t.name = taken.trigger_name
                 order by taken.made_at",
            )
            .bind(i64::from(limit.min(64)))
            .bind(lease.as_secs_f64())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        Ok(readable("answer in a chat", rows, |row: AnswerRow| {
            Ok(ChatAnswer {
                id: row.id,
                trigger: triggers::definition(&row.definition)?,
                url: self.answer_url(row.id, row.url, row.url_sealed.as_deref())?,
                text: row.text,
                tries: row.tries,
            })
        }))
    }

    fn answer_url(&self, id: Uuid, clear: Option<String>, sealed: Option<&[u8]>) -> Result<String> {
        let Some(sealed) = sealed else {
            return clear.ok_or_else(|| corrupt("answer in a chat", "it goes nowhere"));
        };
        let url = self.key.open(&about_answer(id), sealed)?;
        String::from_utf8(url).map_err(|error| corrupt("answer in a chat", error))
    }

    /// An answer is sent, or never will be.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_answer_done(&self, id: Uuid) -> Result<()> {
        timed(async {
            sqlx::query("delete from chat_answer where id = $1")
                .bind(id)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    /// An answer could not be sent now.
    ///
    /// # Errors
    /// As every store function.
    pub async fn chat_answer_later(&self, id: Uuid, after: Duration) -> Result<()> {
        timed(async {
            sqlx::query(
                "update chat_answer set due_at = now() + make_interval(secs => $2) where id = $1",
            )
            .bind(id)
            .bind(after.as_secs_f64())
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }
}

fn person(row: Row) -> Result<ChatPerson> {
    let bad = |error| corrupt("user of a chat", error);
    let role = Role::ALL.into_iter().find(|role| role.word() == row.role);
    let applications = row.applications.map(|names| {
        names
            .into_iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
    });
    Ok(ChatPerson {
        user: row.chat_user.parse().map_err(bad)?,
        person: row.person.parse().map_err(bad)?,
        role: role.ok_or_else(|| corrupt("user of a chat", "its role is not known"))?,
        applications: applications.transpose().map_err(bad)?,
        mapped_by: row.mapped_by.parse().map_err(bad)?,
        mapped_at: row.mapped_at.into(),
    })
}
