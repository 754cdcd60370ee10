#![doc = include_str!("../README.md")]

mod applications;
mod artifacts;
mod audit;
mod connect;
mod error;
mod events;
mod facts;
mod health;
mod holds;
mod idempotency;
mod inquiries;
mod ledger;
mod listen;
mod migrate;
mod page;
mod plans;
mod record;
mod releases;
mod rollbacks;
mod runs;
mod seal;
mod specifications;
mod steps;
mod tokens;
mod wake;

pub use applications::{Put, StoredApplication};
pub use artifacts::{ARTIFACT_BYTES_MAX, Artifact, ArtifactKind, NewArtifact};
pub use audit::AuditEntry;
pub use connect::{Store, StoreSettings};
pub use error::{Constraint, Error, Result};
pub use events::{StoredEvent, Verified};
pub use facts::{DeployedComponent, DeploymentWork, HealthUpdate};
pub use health::{Pruned, Ready, Standing};
pub use holds::NewHold;
pub use inquiries::{Answer, Question};
pub use ledger::{Deployment, DeploymentFilter, DeploymentState, NewDeployment, Recorded};
pub use listen::listen;
#[doc(hidden)]
pub use migrate::migrate_within;
pub use migrate::{Migrated, migrate};
pub use page::{Listed, PAGE_MAX, Page};
pub use releases::{ReleaseDetails, SpecificationView};
pub use rollbacks::{
    Idempotency, NewRollback, OrderPut, Requested, RollbackFilter, RollbackSummary, RollbackView,
};
pub use runs::{Claimed, Held, Renewed, WatchingRun, Worker};
pub use seal::{KeyId, OpenError, SecretKey};
pub use sqlx::postgres::PgConnectOptions;
pub use steps::{AppendMeta, Appended};
pub use tokens::{NewToken, Role, Token, TokenKind};
pub use wake::{Topic, Wake, Wakes};
