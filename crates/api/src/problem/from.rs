//! What the store's errors are to a client. The source of a fault goes to the log, never to the answer.

use store::{Constraint, Error};

use super::{Code, Problem};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(what) => Self::new(Code::NotFound, format!("there is no such {what}")),
            Error::Conflict(constraint) => conflict(constraint),
            Error::Revision { present: Some(_) } | Error::Revision { present: None } => {
                Self::revision_stale()
            }
            Error::IdempotencyMismatch => Self::key_reused(),
            Error::Unavailable(source) => unavailable(source.as_ref()),
            Error::Busy(source) => unavailable(&source),
            Error::KeyLost(key) => Self::new(
                Code::Conflict,
                format!(
                    "this is sealed with key {key}, which is not here; nothing else is affected"
                ),
            )
            .next("put the former key file back if you have it"),
            Error::Fenced
            | Error::OrdersPending
            | Error::Corrupt(_)
            | Error::NewerDatabase { .. }
            | Error::Unfit(_)
            | Error::Refused(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                Self::internal()
            }
        }
    }
}

fn conflict(constraint: Constraint) -> Problem {
    match constraint {
        Constraint::OneActing { active } => Problem::rollback_active(active, "the application"),
        off @ Constraint::AutomaticOff { .. } => Problem::new(Code::Conflict, off.to_string())
            .next("switch it on again: `sternway automatic on`"),
        kind @ Constraint::KindChanged { .. } => {
            Problem::new(Code::Conflict, kind.to_string()).next("give the new trigger another name")
        }
        Constraint::Barred(blockers) => Problem::plan_blocked(blockers),
        Constraint::Claimed { component, .. } => Problem::component_claimed(&component, None),
        Constraint::Unknown(what) => {
            Problem::new(Code::NotFound, format!("there is no such {what}"))
        }
        Constraint::Taken(what) => {
            Problem::new(Code::Conflict, format!("there is such a {what} already"))
        }
        Constraint::Rule(rule) => {
            tracing::error!(rule, "a rule of the schema was broken");
            Problem::internal()
        }
        Constraint::AppendOnly => Problem::internal(),
    }
}

fn unavailable(source: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::warn!(error = source, "the database is not available");
    Problem::new(
        Code::DatabaseUnavailable,
        "Sternway's own database does not answer at this moment",
    )
    .next(
        "try again with the same key: what was acknowledged stands, and the same key is done once",
    )
    .production("Running rollbacks go on when the database is back; what serves goes on serving.")
    .try_again()
}
