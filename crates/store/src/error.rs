//! What can go wrong between us and our Postgres, in the classes that callers act on. It never retries.

use domain::{
    name::{Actor, ApplicationName, ComponentName, RollbackId},
    planner::Blocker,
};

/// The result of every store function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store function did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A rule of the schema says no.
    #[error("{0}")]
    Conflict(Constraint),
    /// The present revision is another than the one that the caller has seen; none when there is nothing.
    #[error("the revision is not the one that was given; the present one is {present:?}")]
    Revision {
        /// The present revision.
        present: Option<i32>,
    },
    /// The idempotency key was used before, with another request.
    #[error("the idempotency key was used before with another request")]
    IdempotencyMismatch,
    /// The claim is no longer ours, or its lease is over: drop everything.
    #[error("the claim is no longer ours")]
    Fenced,
    /// Somebody asked for something that the end of the run does not answer. Nothing was written: read the orders and
    /// decide again.
    #[error("there are orders that the end does not answer")]
    OrdersPending,
    /// Postgres can not be reached, is read-only or does not answer in time. Whether a write happened is not known.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Somebody else holds a lock for too long, or a transaction has to be repeated. Nothing was written.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// What is stored is not what this code wrote.
    #[error("what is stored can not be read: {0}")]
    Corrupt(String),
    /// What is stored is sealed with another key than ours.
    #[error("it is sealed with key {0}, which is not here")]
    KeyLost(String),
    /// The database was migrated by a newer binary.
    #[error(
        "the database is at schema {database}, this binary knows {binary}: start the newer version, or restore a backup"
    )]
    NewerDatabase {
        /// Schema version of the database.
        database: i64,
        /// Newest schema version that this binary knows.
        binary: i64,
    },
    /// The server or the database is not fit to keep promises.
    #[error("{0}")]
    Unfit(String),
    /// Anything else that Postgres says no to: a defect of ours.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same may go well a little later. Anything else is the same each time: a row that can not be read, a
    /// statement that is refused.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Busy(_) | Self::NewerDatabase { .. } | Self::Unfit(_) => {
                true
            }
            Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Revision { .. }
            | Self::IdempotencyMismatch
            | Self::Fenced
            | Self::OrdersPending
            | Self::Corrupt(_)
            | Self::KeyLost(_)
            | Self::Refused(_) => false,
        }
    }

    /// With this sentence instead, when somebody else holds what was waited for.
    pub(crate) fn or_if_busy(self, sentence: impl FnOnce() -> String) -> Self {
        if matches!(self, Self::Busy(_)) {
            Self::Unfit(sentence())
        } else {
            self
        }
    }
}

/// A rule of the schema, told by the name of its constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Constraint {
    /// Another rollback of the application acts.
    #[error("rollback {active} of this application is active")]
    OneActing {
        /// That rollback.
        active: RollbackId,
    },
    /// Somebody switched automatic rollbacks off, and nobody asked for this one.
    #[error("{by} switched automatic rollbacks off: {reason}")]
    AutomaticOff {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// The target of a plan was held or marked insecure since the plan was made.
    #[error("{}", sentences(.0))]
    Barred(Vec<Blocker>),
    /// Another application has the containers of a component.
    #[error("{component} is a component of {by} already")]
    Claimed {
        /// The component.
        component: ComponentName,
        /// The other application.
        by: ApplicationName,
    },
    /// A trigger's name was another sender's.
    #[error("this name is one of {kind}: a trigger keeps its kind, also when it was taken out")]
    KindChanged {
        /// Of which kind it is.
        kind: &'static str,
    },
    /// What is referred to is not there.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The identifier is in use.
    #[error("this {0} is there already")]
    Taken(&'static str),
    /// A row that can not be: a defect of ours.
    #[error("the rule `{0}` is broken")]
    Rule(String),
    /// The log may only grow.
    #[error("the log may only grow")]
    AppendOnly,
}

fn sentences(blockers: &[Blocker]) -> String {
    let said: Vec<&str> = blockers
        .iter()
        .map(|blocker| blocker.sentence.as_str())
        .collect();
    said.join("; ")
}

impl Constraint {
    /// The rule with that name in `migrations/`.
    pub(crate) fn named(name: &str) -> Self {
        match (missing(name), in_use(name)) {
            (Some(what), _) => Self::Unknown(what),
            (None, Some(what)) => Self::Taken(what),
            (None, None) => Self::Rule(name.to_owned()),
        }
    }
}

/// What a rule refers to that is not there.
fn missing(constraint: &str) -> Option<&'static str> {
    Some(match constraint {
        "application_fence_application"
        | "plan_application"
        | "rollback_application"
        | "rollback_run_application"
        | "deployment_application"
        | "held_return_application"
        | "application_upkeep_application"
        | "image_copy_application"
        | "release_readiness_application"
        | "automatic_switch_application"
        | "freeze_window_application"
        | "guard_override_application"
        | "triage_application"
        | "hold_application" => "application",
        "rollback_plan" => "plan",
        "rollback_run_rollback"
        | "rollback_order_rollback"
        | "rollback_order_superseding"
        | "artifact_rollback"
        | "idempotency_rollback"
        | "pin_rollback"
        | "build_rollback"
        | "decision_rollback"
        | "chat_card_rollback"
        | "deployment_rollback"
        | "held_return_rollback"
        | "hold_rollback" => "rollback",
        "deployment_fact_deployment"
        | "deployment_fact_merged"
        | "deployment_request_deployment"
        | "decision_deployment"
        | "held_return_deployment" => "deployment",
        "hold_release_hold" => "hold",
        "trigger_secret_trigger"
        | "inbox_trigger"
        | "decision_trigger"
        | "chat_person_trigger"
        | "chat_bot_trigger"
        | "chat_card_trigger"
        | "chat_notice_trigger"
        | "chat_answer_trigger" => "trigger",
        "chat_shown_card" => "card",
        "inbox_due_inbox" => "event",
        "token_use_token" | "token_revocation_token" => "token",
        "inquiry_answer_inquiry" => "inquiry",
        "inspection_specification" => "specification",
        "triage_passed_triage" => "decision",
        _ => return None,
    })
}

/// What a rule holds to be there once.
fn in_use(constraint: &str) -> Option<&'static str> {
    Some(match constraint {
        "application_key" | "application_fence_key" => "application",
        "specification_key" => "specification",
        "inspection_key" | "image_settings_key" => "inspection",
        "plan_key" => "plan",
        "automatic_switch_key" => "switch",
        "freeze_window_key" => "window",
        "guard_override_key" => "override",
        "triage_key" | "triage_passed_key" => "decision",
        "rollback_key" | "rollback_run_key" => "rollback",
        "rollback_event_key" => "event",
        "rollback_order_key" | "rollback_order_once" => "order",
        "artifact_key" | "artifact_once" => "artifact",
        "idempotency_key" | "deployment_request_key" => "idempotency key",
        "deployment_key" | "deployment_one_per_rollback" | "deployment_fact_key" => "deployment",
        "held_return_key" => "return",
        "pin_key" => "pin",
        "build_key" => "build",
        "application_upkeep_key" => "upkeep",
        "image_copy_key" => "copy",
        "release_readiness_key" => "readiness",
        "hold_key" | "hold_one_per_rollback" | "hold_release_key" => "hold",
        "api_token_key"
        | "api_token_hash"
        | "token_use_key"
        | "token_revocation_key"
        | "setup_token_key" => "token",
        "audit_entry_key" => "audit entry",
        "worker_key" => "worker",
        "trigger_key" => "trigger",
        "trigger_secret_key" => "secret",
        "inbox_key" | "inbox_due_key" => "event",
        "chat_person_key" => "user of that chat",
        "chat_bot_key" => "token of that chat",
        "chat_card_key" | "chat_shown_key" => "card",
        "chat_answer_key" => "answer",
        "chat_notice_key" | "chat_notice_once" => "notice",
        "decision_key" | "decision_once" => "decision",
        "inquiry_key" | "inquiry_answer_key" => "inquiry",
        _ => return None,
    })
}

/// What class an SQLSTATE belongs to.
fn classify(code: &str) -> Class {
    match code {
        "23001" => Class::AppendOnly,
        // Serialization failure, deadlock, lock time limit: nothing was written.
        "40001" | "40P01" | "55P03" => Class::Busy,
        // Read-only (a demoted primary), statement time limit, shutdowns, a server that starts.
        "25006" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" => Class::Unavailable,
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
            Class::Unavailable
        }
        _ if code.starts_with("23") => Class::Constraint,
        _ => Class::Other,
    }
}

enum Class {
    AppendOnly,
    Busy,
    Unavailable,
    Constraint,
    Other,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let Some(said) = error.as_database_error() {
            let code = said.code().unwrap_or_default();
            return match classify(&code) {
                Class::AppendOnly => Self::Conflict(Constraint::AppendOnly),
                Class::Busy => Self::Busy(error),
                Class::Unavailable => Self::Unavailable(Box::new(error)),
                Class::Constraint => {
                    Self::Conflict(Constraint::named(said.constraint().unwrap_or(&code)))
                }
                Class::Other => Self::Refused(error),
            };
        }
        // sqlx's enum may grow; whatever is not named here came from our own use of it.
        if matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        ) {
            return Self::Unavailable(Box::new(error));
        }
        if matches!(
            error,
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
        ) {
            return Self::Corrupt(error.to_string());
        }
        Self::Refused(error)
    }
}

/// A stored text that does not parse as what was stored.
pub(crate) fn corrupt(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("{what}: {error}"))
}
