//! Whether a release could come back, said long before the night in which it has to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    application::{Application, Component},
    engine_look::{ImageFacts, holdings::Holdings},
    ledger::{Release, ReleaseComponent},
    name::{ComponentName, ImageId},
    seen::Seen,
    source::{TagsSeen, same_commit},
    supply::{self, ImageSource, SourceSeen},
};

/// Where an image was seen.
#[derive(Clone, Debug)]
pub struct ImageSight {
    /// On the engine.
    pub here: Seen<ImageFacts>,
    /// Outside of it.
    pub sources: Vec<SourceSeen>,
}

/// How ready a release is; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessCode {
    /// Its images are on the engine and its specifications can be read.
    Ready,
    /// An image is not on the engine; an archive of ours has it.
    SecondCopy,
    /// An image is not on the engine; a registry has it.
    Pullable,
    /// An image is nowhere; it can be built again from the version's tag.
    Rebuildable,
    /// It could not be looked at.
    Unknown,
    /// What a component ran with was not kept, or can not be read.
    SpecificationLost,
    /// A network or a volume that a component needs is not on the engine.
    SurroundingsGone,
    /// An image is nowhere.
    Gone,
}

impl ReadinessCode {
    const ALL: [Self; 8] = [
        Self::Ready,
        Self::SecondCopy,
        Self::Pullable,
        Self::Rebuildable,
        Self::Unknown,
        Self::SpecificationLost,
        Self::SurroundingsGone,
        Self::Gone,
    ];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::SecondCopy => "second_copy",
            Self::Pullable => "pullable",
            Self::Rebuildable => "rebuildable",
            Self::Unknown => "unknown",
            Self::SpecificationLost => "specification_lost",
            Self::SurroundingsGone => "surroundings_gone",
            Self::Gone => "gone",
        }
    }

    /// Whether the way back is broken. What could not be looked at is not known to be.
    #[must_use]
    pub fn broken(self) -> bool {
        match self {
            Self::Gone | Self::SurroundingsGone | Self::SpecificationLost => true,
            Self::Ready | Self::SecondCopy | Self::Pullable | Self::Rebuildable | Self::Unknown => {
                false
            }
        }
    }
}

impl std::str::FromStr for ReadinessCode {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|code| code.word() == word)
            .ok_or_else(|| format!("readiness `{word}` is not known"))
    }
}

/// How ready a release is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Stable code.
    pub code: ReadinessCode,
    /// What was found.
    pub sentence: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
}

/// The worst of its components; with several equally bad, the first by name. The tags are those of the repository, where
/// it was asked for them.
#[must_use]
pub fn readiness(
    release: &Release,
    sights: &BTreeMap<ImageId, ImageSight>,
    has: Option<&Holdings>,
    application: &Application,
    tags: &Seen<TagsSeen>,
) -> Readiness {
    let each = release.components.iter().map(|(name, part)| {
        let image = image(&part.reference, &part.image, sights.get(&part.image));
        let image = match image.code {
            ReadinessCode::Gone => built(release, name, application, tags, image),
            ReadinessCode::Ready
            | ReadinessCode::SecondCopy
            | ReadinessCode::Pullable
            | ReadinessCode::Rebuildable
            | ReadinessCode::Unknown
            | ReadinessCode::SurroundingsGone
            | ReadinessCode::SpecificationLost => image,
        };
        let image = match surroundings(name, part, has) {
            Some(gone) if image.code < gone.code => gone,
            _ => image,
        };
        let kept = match &part.specification {
            Some(recorded) if recorded.readable => None,
            Some(_) => Some("can not be read: the key it is sealed with is not here"),
            None => Some("was not kept"),
        };
        match kept {
            Some(how) if image.code < ReadinessCode::SpecificationLost => Readiness {
                code: ReadinessCode::SpecificationLost,
                sentence: format!("what {name} ran with {how}"),
                next_action: Some(
                    "bring back the key file, or deploy the version once more and record it"
                        .to_owned(),
                ),
            },
            _ => image,
        }
    });
    let worst = each.reduce(|worst, next| if next.code > worst.code { next } else { worst });
    worst.unwrap_or_else(|| Readiness {
        code: ReadinessCode::Unknown,
        sentence: "the ledger does not say what it runs".to_owned(),
        next_action: Some("record the deployment again".to_owned()),
    })
}

fn surroundings(
    name: &ComponentName,
    part: &ReleaseComponent,
    has: Option<&Holdings>,
) -> Option<Readiness> {
    let needs = part.specification.as_ref()?.shape.as_ref()?.needs();
    let lacking = needs.lacking(has?).next()?;
    Some(Readiness {
        code: ReadinessCode::SurroundingsGone,
        sentence: lacking.said(name),
        next_action: Some(lacking.next_action()),
    })
}

fn image(reference: &str, image: &ImageId, sight: Option<&ImageSight>) -> Readiness {
    let said = |code, sentence: String, next_action: Option<&str>| Readiness {
        code,
        sentence,
        next_action: next_action.map(str::to_owned),
    };
    let what = format!("image {reference} ({})", image.short());
    let Some(sight) = sight else {
        return said(
            ReadinessCode::Unknown,
            format!("{what} was not looked at"),
            None,
        );
    };
    match &sight.here {
        Seen::Known(_) => {
            return said(
                ReadinessCode::Ready,
                "its images are on the engine".to_owned(),
                None,
            );
        }
        Seen::Unknown(why) => {
            let sentence = format!("{what} could not be looked at: {why}");
            return said(ReadinessCode::Unknown, sentence, Some("look at the engine"));
        }
        Seen::Absent => {}
    }
    match supply::usable(&sight.sources).first() {
        Some(source @ ImageSource::Archive(_)) => said(
            ReadinessCode::SecondCopy,
            format!("{what} is not on the engine; it can be loaded from {source}"),
            None,
        ),
        Some(source @ ImageSource::Registry { .. }) => said(
            ReadinessCode::Pullable,
            format!("{what} is not on the engine; it can be pulled from {source}"),
            None,
        ),
        None => gone(&what, &sight.sources),
    }
}

/// What is nowhere may be built again, if the tag is there and is the commit that the ledger has.
fn built(
    release: &Release,
    component: &ComponentName,
    application: &Application,
    tags: &Seen<TagsSeen>,
    gone: Readiness,
) -> Readiness {
    let builds = |component: &Component| component.build.is_some();
    let source = application
        .source
        .as_ref()
        .filter(|_| application.component(component).is_some_and(builds));
    let tag = source.and_then(|source| source.tag_of(&release.version));
    let (Some(source), Some(tag)) = (source, tag) else {
        return gone;
    };
    let repository = &source.repository;
    let seen = match tags {
        Seen::Known(seen) => seen,
        Seen::Unknown(why) => {
            return Readiness {
                code: ReadinessCode::Unknown,
                sentence: format!("{}; {repository} was not read: {why}", gone.sentence),
                next_action: Some("look at the repository".to_owned()),
            };
        }
        Seen::Absent => return gone,
    };
    let Some(found) = seen.find(&tag) else {
        return Readiness {
            code: if seen.more {
                ReadinessCode::Unknown
            } else {
                gone.code
            },
            sentence: format!("{}; {repository} has no tag {tag}", gone.sentence),
            ..gone
        };
    };
    let recorded = release.commit.as_deref();
    if recorded.and_then(|recorded| same_commit(recorded, &found.commit)) == Some(false) {
        return Readiness {
            sentence: format!(
                "{}; tag {tag} of {repository} names another commit than it was built from",
                gone.sentence
            ),
            ..gone
        };
    }
    Readiness {
        code: ReadinessCode::Rebuildable,
        sentence: format!(
            "{}; it can be built again from tag {tag} (commit {}) of {repository}",
            gone.sentence,
            found.commit.short()
        ),
        next_action: gone.next_action,
    }
}

fn gone(what: &str, sources: &[SourceSeen]) -> Readiness {
    let unknown = sources
        .iter()
        .any(|seen| matches!(seen.there, Seen::Unknown(_)));
    let why = supply::why_not(sources);
    let why = if why.is_empty() {
        "nobody else is known to have it".to_owned()
    } else {
        why
    };
    Readiness {
        code: if unknown { ReadinessCode::Unknown } else { ReadinessCode::Gone },
        sentence: format!("{what} is not on the engine; {why}"),
        next_action: Some(
            "load or pull exactly that image (by digest); `retain.copy` keeps a second copy of the next ones".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
