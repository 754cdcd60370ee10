//! What the API asks the worker to look at: it never touches an engine itself.

use std::time::Duration;

use domain::{
    name::{Actor, ApplicationName, ComponentName, TagName, TriggerName},
    trigger::alert::Alert,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{postgres::PgRow, types::Json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    connect::{Store, readable, timed},
    error::Result,
    wake::Topic,
};

/// How often an answer is looked for when no wake-up comes: it may be written by another process.
const POLL: Duration = Duration::from_millis(100);
/// How long a question is worth answering: who asked does not wait longer.
const WORTH_SECS: f64 = 60.0;
/// After how long another worker may try: a look takes a few seconds at most.
const TAKEN_SECS: f64 = 12.0;
/// The same for a Compose project, which Compose itself is asked about.
const TAKEN_PROJECT_SECS: f64 = 45.0;

/// A question about an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    /// What an application's engine looks like; answered with an `EngineLook`.
    Application {
        /// The application.
        name: ApplicationName,
    },
    /// What a running Compose project is; answered with what was found, an `Application` definition in it.
    Project {
        /// The engine, as in a definition.
        engine: String,
        /// The project.
        project: ComponentName,
    },
    /// Which images references name now; answered with an object of digests.
    Images {
        /// The engine, as in a definition.
        engine: String,
        /// The references.
        references: Vec<String>,
    },
    /// The tags of an application's repository; answered with `TagsSeen`.
    Tags {
        /// The application.
        name: ApplicationName,
        /// Only this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<TagName>,
    },
    /// What an application's metrics and probes say to the runbook's questions; answered with a list of evidence.
    Facts {
        /// The application.
        name: ApplicationName,
    },
    /// What every guard says of an alert; answered with a guards' decision.
    Alert {
        /// The application that it is about.
        name: ApplicationName,
        /// The trigger that it comes by.
        trigger: TriggerName,
        /// The event that it comes with.
        event_id: String,
        /// What it says.
        alert: Box<Alert>,
    },
}

/// What came of waiting for an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// What was found.
    Found(Value),
    /// Why it could not be looked at.
    Failed(String),
    /// Nobody answered in time.
    Late,
}

impl Store {
    /// Asks.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inquiry_ask(&self, question: &Question, by: &Actor) -> Result<Uuid> {
        let id = Uuid::now_v7();
        timed(async {
            sqlx::query("insert into inquiry (id, question, asked_by) values ($1, $2, $3)")
                .bind(id)
                .bind(Json(question))
                .bind(by.as_str())
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await?;
        self.announce(Topic::Work);
        Ok(id)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inquiry_wait(&self, id: Uuid, patience: Duration) -> Result<Answer> {
        let deadline = Instant::now() + patience;
        let mut news = self.wake.subscribe(Topic::Answers);
        loop {
            if let Some(answer) = self.inquiry_answered(id).await? {
                return Ok(answer);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(Answer::Late);
            }
            // Either way the next look tells.
            let _ = tokio::time::timeout(POLL.min(deadline - now), news.woken()).await;
        }
    }

    async fn inquiry_answered(&self, id: Uuid) -> Result<Option<Answer>> {
        let row: Option<(Option<Value>, Option<String>)> = timed(async {
            Ok(
                sqlx::query_as("select body, error from inquiry_answer where inquiry_id = $1")
                    .bind(id)
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await?;
        Ok(row.map(|(body, error)| match error {
            Some(error) => Answer::Failed(error),
            None => Answer::Found(body.unwrap_or(Value::Null)),
        }))
    }

    /// Takes questions that nobody answers yet. One that is not answered is open again after a few seconds.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inquiries_open(&self, limit: u32) -> Result<Vec<(Uuid, Question)>> {
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "update inquiry set taken_at = now()
                 where id in (
                     select q.id from inquiry q
                     where q.asked_at > now() - make_interval(secs => $2)
                       and (q.taken_at is null or q.taken_at < now() - make_interval(secs =>
                              case q.question->>'ask' when 'project' then $4 else $3 end))
                       and not exists (select from inquiry_answer a where a.inquiry_id = q.id)
                     order by q.asked_at limit $1 for update of q skip locked)
                 returning id, question, id::text as row_key",
            )
            .bind(i64::from(limit.min(64)))
            .bind(WORTH_SECS)
            .bind(TAKEN_SECS)
            .bind(TAKEN_PROJECT_SECS)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        // What only a newer worker knows how to answer is left to it.
        let question = |(id, Json(question)): (Uuid, Json<Question>)| Ok((id, question));
        Ok(readable("question", rows, question))
    }

    /// Answers. The first answer stays; a question that was cleared away needs none.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inquiry_answer(&self, id: Uuid, answer: &Result<Value, String>) -> Result<()> {
        timed(async {
            sqlx::query(
                "insert into inquiry_answer (inquiry_id, body, error)
                 select id, $2, $3 from inquiry where id = $1
                 on conflict on constraint inquiry_answer_key do nothing",
            )
            .bind(id)
            .bind(answer.as_ref().ok())
            .bind(answer.as_ref().err())
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.announce(Topic::Answers);
        Ok(())
    }
}
