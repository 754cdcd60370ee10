//! Whether what runs is what the ledger says, and what follows when it is not. Pure: it is told what was looked at,
//! what is known, and for how long nothing has moved.

mod naming;
mod running;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    application::{Application, OnReturn},
    engine_look::EngineLook,
    hold::{self, Hold},
    ledger::{DeploymentKind, Release},
    name::{ComponentName, ContainerId, ImageId, Version},
    time::{Millis, Moment},
};
pub use running::fingerprint;
use running::{Mixture, Running, running};

/// Nothing may have moved for this long before what runs is taken for a deployment. Compose makes one container after
/// the other in less; with the engine's hint and two looks it leaves room to be known within five seconds.
pub const SETTLE: Millis = Millis(1_500);
/// A mixture of two releases is a deployment under way, for as long as a stop with a long grace may take. After that
/// it is what somebody left.
pub const SETTLE_MIXED: Millis = Millis::from_secs(300);
/// A mixture with a held image in it is not waited for: that it is back has to be known within five seconds.
pub const SETTLE_MIXED_HELD: Millis = Millis(3_000);
/// A mixture is put back only after this: to act between the two halves of somebody's deployment is to fight with it.
pub const SETTLE_BEFORE_ACTING: Millis = Millis::from_secs(20);
/// What CI announces before it deploys is expected for this long, when nothing was ever seen to run.
pub const ANNOUNCED_MAX: Millis = Millis::from_secs(600);

/// What a container says of where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The image reference that it was created by.
    pub reference: Option<String>,
    /// Its label `org.opencontainers.image.version`.
    pub version: Option<String>,
    /// Its label `org.opencontainers.image.revision`.
    pub revision: Option<String>,
}

/// A deployment of the ledger, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its identity.
    pub id: Uuid,
    /// Its version.
    pub version: Version,
    /// How it was put in service.
    pub kind: DeploymentKind,
    /// When.
    pub deployed_at: Moment,
    /// What each component runs; none while its references are being looked up.
    pub images: Option<BTreeMap<ComponentName, ImageId>>,
    /// Whether it was ever seen running.
    pub seen: bool,
    /// Whether it is already known that a held release came back with it.
    pub returned: bool,
}

/// Everything that is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The application's definition.
    pub application: &'a Application,
    /// The last look at its engine.
    pub look: &'a EngineLook,
    /// What its containers say of where they come from.
    pub origins: &'a BTreeMap<ContainerId, Origin>,
    /// Its releases.
    pub releases: &'a [Release],
    /// The holds that nobody has released.
    pub holds: &'a [Hold],
    /// The newest deployment of the ledger.
    pub newest: Option<&'a Recorded>,
    /// The newest one that was seen running.
    pub seen: Option<&'a Recorded>,
    /// Whether a rollback acts on the application.
    pub acting: bool,
    /// For how long [`fingerprint`] has been the same.
    pub stable: Millis,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// What runs is what the ledger says, or it is not the time to say anything.
    Nothing,
    /// Something moved: look again after this long.
    Settling {
        /// How long.
        left: Millis,
    },
    /// The newest deployment runs, and that was not known yet.
    Seen {
        /// The deployment.
        deployment: Uuid,
    },
    /// Something was deployed by other means.
    Detected(Detected),
    /// A held release runs again.
    HeldReturned {
        /// The deployment that brought it.
        deployment: Uuid,
        /// The version that is held.
        version: Version,
        /// Why it is held.
        reason: String,
    },
}

/// A deployment that nobody reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// What it is called.
    pub version: Version,
    /// The commit it was built from, when its image says so.
    pub commit: Option<String>,
    /// What a person should know of it.
    pub notes: String,
    /// What each component runs, and the reference it was created by.
    pub components: BTreeMap<ComponentName, (ImageId, String)>,
}

/// Whether what came back may be put back now: all of it is there, and nobody is in the middle of something.
#[must_use]
pub fn may_put_back(known: &Known<'_>) -> bool {
    let Some(newest) = known.newest else {
        return false;
    };
    let whole = newest.version.name() == newest.version.as_str();
    let limit = if whole { SETTLE } else { SETTLE_BEFORE_ACTING };
    let Running::Whole(parts) = running(known) else {
        return false;
    };
    let runs = |images: &BTreeMap<ComponentName, ImageId>| {
        images.len() == parts.len()
            && parts
                .iter()
                .all(|(name, part)| images.get(name) == Some(&part.image))
    };
    !known.acting && known.stable >= limit && newest.images.as_ref().is_some_and(runs)
}

/// What follows from one look.
#[must_use]
pub fn decide(known: &Known<'_>) -> Drift {
    if known.acting || known.look.lock.as_ref().is_some_and(|lock| !lock.stale) {
        return Drift::Nothing;
    }
    let Running::Whole(parts) = running(known) else {
        return Drift::Nothing;
    };
    let images: BTreeMap<ComponentName, ImageId> = parts
        .iter()
        .map(|(name, part)| (name.clone(), part.image.clone()))
        .collect();
    match known.newest {
        Some(newest) if newest.images.is_none() => settling(known, SETTLE),
        Some(newest) if newest.images.as_ref() == Some(&images) => as_recorded(known, newest),
        Some(newest) if is_announced(known, newest, &images) => Drift::Nothing,
        Some(_) | None => otherwise(known, &parts, &images),
    }
}

fn settling(known: &Known<'_>, limit: Millis) -> Drift {
    let left = Millis(limit.0.saturating_sub(known.stable.0).max(100));
    Drift::Settling { left }
}

/// The ledger is right. What it says may be held all the same: CI reports what it deploys.
fn as_recorded(known: &Known<'_>, newest: &Recorded) -> Drift {
    if !newest.seen {
        return Drift::Seen {
            deployment: newest.id,
        };
    }
    // A rollback goes nowhere that is held, and a hold of what runs already is no return.
    let by_other_means = match newest.kind {
        DeploymentKind::Deploy | DeploymentKind::Detected => true,
        DeploymentKind::Rollback => false,
    };
    if newest.returned || !by_other_means {
        return Drift::Nothing;
    }
    let holds: Vec<Hold> = known
        .holds
        .iter()
        .filter(|hold| hold.held_at < newest.deployed_at)
        .cloned()
        .collect();
    let images = newest.images.clone().unwrap_or_default();
    match hold::against(&holds, known.releases, Some(&newest.version), &images) {
        None => Drift::Nothing,
        Some((hold, _)) => Drift::HeldReturned {
            deployment: newest.id,
            version: hold.version.clone(),
            reason: hold.reason.clone(),
        },
    }
}

/// The newest deployment was reported before it was made, and what ran before still runs.
fn is_announced(
    known: &Known<'_>,
    newest: &Recorded,
    images: &BTreeMap<ComponentName, ImageId>,
) -> bool {
    if newest.seen {
        return false;
    }
    match known.seen {
        Some(before) => before.images.as_ref() == Some(images),
        None => known.look.at.since(newest.deployed_at) < ANNOUNCED_MAX,
    }
}

/// Something else runs than the ledger says.
fn otherwise(
    known: &Known<'_>,
    parts: &BTreeMap<ComponentName, running::Part>,
    images: &BTreeMap<ComponentName, ImageId>,
) -> Drift {
    let before = known.seen.or(known.newest);
    let mixture = Mixture::of(known, parts, before);
    let limit = match &mixture {
        None => SETTLE,
        Some(_) if hold::against(known.holds, known.releases, None, images).is_some() => {
            SETTLE_MIXED_HELD
        }
        Some(_) => SETTLE_MIXED,
    };
    if known.stable < limit {
        return settling(known, limit);
    }
    Drift::Detected(naming::named(known, parts, before, mixture.as_ref()))
}

/// A held release that comes back twice within this time is somebody's doing: a person is asked, since two controllers
/// that fight are worse than the fault.
pub const PUT_BACK_AGAIN_AFTER: Millis = Millis::from_secs(24 * 3600);

/// What came back is put back within this time or by a person: an engine that is away, or a rollback that waits for a yes,
/// must not keep it in service with nobody told.
pub const PUT_BACK_WITHIN: Millis = Millis::from_secs(30 * 60);

/// Whether a return that is about to be put back has waited for too long.
#[must_use]
pub fn is_put_back_late(seen_at: Moment, now: Moment) -> bool {
    now.since(seen_at) >= PUT_BACK_WITHIN
}

/// What is done about a held release that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is announced, and nothing else.
    Report,
    /// It is rolled back.
    PutBack,
    /// It was put back only just now: a person has to look.
    AskPerson,
}

impl Answer {
    /// It, as a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Report => {
                "it is reported and left running: the definition says `on_return = \"report\"`"
            }
            Self::PutBack => "it is about to be put back, once",
            Self::AskPerson => {
                "a held release was put back within the last 24 hours and one is back again: a person has to find out \
                 who deploys it"
            }
        }
    }
}

/// What is done, by the definition and by how long ago a return was last put back.
#[must_use]
pub fn answer_to_return(policy: OnReturn, put_back_ago: Option<Millis>) -> Answer {
    match (policy, put_back_ago) {
        (OnReturn::Report, _) => Answer::Report,
        (OnReturn::PutBack, Some(ago)) if ago < PUT_BACK_AGAIN_AFTER => Answer::AskPerson,
        (OnReturn::PutBack, _) => Answer::PutBack,
    }
}
