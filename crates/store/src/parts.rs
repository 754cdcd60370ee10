//! What came of some of the things that a message said, while the others wait.

use std::collections::BTreeMap;

use domain::name::TriggerName;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    decisions::{DecisionOutcome, NewDecision, Numbered, Row, decision, left_to_a_person, write},
    error::Result,
    notices,
};

impl Store {
    /// Writes what came of some of the things that a message said, while the others wait: it stays to be decided. Of one that
    /// somebody else decided meanwhile nothing is written.
    ///
    /// # Errors
    /// As every store function.
    pub async fn decisions_keep(
        &self,
        trigger: &TriggerName,
        event_id: &str,
        parts: &BTreeMap<i32, NewDecision>,
    ) -> Result<()> {
        let parts = parts.iter().map(|(part, decision)| Numbered {
            id: Uuid::now_v7(),
            trigger_name: trigger,
            event_id,
            part: *part,
            decision,
        });
        let parts: Vec<_> = parts.collect();
        timed(async {
            let mut tx = self.intake.begin().await?;
            let waits: Option<i32> = sqlx::query_scalar(
                "select 1 from inbox_due where trigger_name = $1 and event_id = $2 for share",
            )
            .bind(trigger.as_str())
            .bind(event_id)
            .fetch_optional(&mut *tx)
            .await?;
            if waits.is_some() {
                write(&mut tx, &[], &parts).await?;
                let told = parts.iter().filter_map(left_to_a_person).collect();
                notices::tell(&mut tx, told).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// What came of a message so far, by which of the things that it said.
    ///
    /// # Errors
    /// As every store function.
    pub async fn decisions_of(
        &self,
        trigger: &TriggerName,
        event_id: &str,
    ) -> Result<BTreeMap<i32, NewDecision>> {
        let rows: Vec<Row> = timed(async {
            let mut session = self.intake.take().await?;
            let rows = sqlx::query_as(
                "select id, trigger_name, event_id, part, application, outcome, code, said, notice, deployment_id,
                        episode, would_be, guards, next_action, plan_digest, rollback_id, decided_at
                 from decision where trigger_name = $1 and event_id = $2",
            )
            .bind(trigger.as_str())
            .bind(event_id)
            .fetch_all(&mut *session)
            .await?;
            self.intake.keep(session);
            Ok(rows)
        })
        .await?;
        let each = rows
            .into_iter()
            .map(|row| Ok((row.part, decision(row)?.made)));
        each.collect()
    }
}

/// Writes that the trigger of these messages was taken out, each at a place that is free.
pub(crate) async fn put_down(
    session: &mut PgConnection,
    trigger: &TriggerName,
    messages: &[(String, i32)],
) -> Result<()> {
    let decision = NewDecision {
        application: None,
        outcome: DecisionOutcome::Recorded,
        code: "trigger_removed".to_owned(),
        said: "its trigger was taken out".to_owned(),
        notice: Value::Null,
        deployment: None,
        episode: None,
        would_be: None,
        guards: None,
        next_action: None,
        plan: None,
        rollback: None,
    };
    let each = messages.iter().map(|(event_id, part)| Numbered {
        id: Uuid::now_v7(),
        trigger_name: trigger,
        event_id,
        part: *part,
        decision: &decision,
    });
    let each: Vec<_> = each.collect();
    write(session, &[], &each).await?;
    Ok(())
}
