//! Whether a release could come back, said long before the night in which it has to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    engine_look::ImageFacts,
    ledger::Release,
    name::ImageId,
    seen::Seen,
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
    /// It could not be looked at.
    Unknown,
    /// What a component ran with was not kept, or can not be read.
    SpecificationLost,
    /// An image is nowhere.
    Gone,
}

impl ReadinessCode {
    const ALL: [Self; 6] = [
        Self::Ready,
        Self::SecondCopy,
        Self::Pullable,
        Self::Unknown,
        Self::SpecificationLost,
        Self::Gone,
    ];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::SecondCopy => "second_copy",
            Self::Pullable => "pullable",
            Self::Unknown => "unknown",
            Self::SpecificationLost => "specification_lost",
            Self::Gone => "gone",
        }
    }

    /// Whether the way back is broken. What could not be looked at is not known to be.
    #[must_use]
    pub fn broken(self) -> bool {
        match self {
            Self::Gone | Self::SpecificationLost => true,
            Self::Ready | Self::SecondCopy | Self::Pullable | Self::Unknown => false,
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

/// The worst of its components; with several equally bad, the first by name.
#[must_use]
pub fn readiness(release: &Release, sights: &BTreeMap<ImageId, ImageSight>) -> Readiness {
    let each = release.components.iter().map(|(name, part)| {
        let image = image(&part.reference, &part.image, sights.get(&part.image));
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
mod tests {
    use super::*;
    use crate::{
        ledger::{RecordedSpecification, ReleaseComponent},
        supply::Archive,
        time::Moment,
    };
    use uuid::Uuid;

    fn id() -> ImageId {
        format!("sha256:{}", "a1".repeat(32)).parse().unwrap()
    }

    fn release(readable: Option<bool>) -> Release {
        let part = ReleaseComponent {
            image: id(),
            reference: "shop:1".to_owned(),
            sources: Vec::new(),
            architecture: None,
            bytes: None,
            specification: readable.map(|readable| {
                let stored =
                    serde_json::json!({"digest": "d1".repeat(32), "readable": readable, "env": {}});
                serde_json::from_value::<RecordedSpecification>(stored).unwrap()
            }),
        };
        Release {
            deployment: Uuid::nil(),
            commit: None,
            version: "1".parse().unwrap(),
            deployed_at: Moment::from_unix_ms(1),
            good_at: None,
            hold: None,
            insecure: None,
            components: [("api".parse().unwrap(), part)].into(),
        }
    }

    fn sight(here: bool, sources: Vec<SourceSeen>) -> BTreeMap<ImageId, ImageSight> {
        let facts = ImageFacts {
            tags: Vec::new(),
            digests: Vec::new(),
            bytes: 1,
            architecture: "amd64".to_owned(),
        };
        let here = if here {
            Seen::Known(facts)
        } else {
            Seen::Absent
        };
        BTreeMap::from([(id(), ImageSight { here, sources })])
    }

    fn source(registry: bool, there: Seen<()>) -> SourceSeen {
        let source = if registry {
            let reference = format!("r/shop@{}", id());
            ImageSource::Registry {
                reference: reference.parse().unwrap(),
            }
        } else {
            ImageSource::Archive(Archive {
                path: "/a".to_owned(),
                sha256: String::new(),
                bytes: 1,
            })
        };
        SourceSeen { source, there }
    }

    #[test]
    fn each_place_has_its_code() {
        use ReadinessCode as Code;
        let down = || Seen::Unknown("refused".to_owned());
        let table = [
            (Some(true), sight(true, Vec::new()), Code::Ready),
            (
                Some(false),
                sight(true, Vec::new()),
                Code::SpecificationLost,
            ),
            (None, sight(true, Vec::new()), Code::SpecificationLost),
            (
                Some(true),
                sight(false, vec![source(false, Seen::Known(()))]),
                Code::SecondCopy,
            ),
            (
                Some(true),
                sight(false, vec![source(true, Seen::Known(()))]),
                Code::Pullable,
            ),
            (
                Some(true),
                sight(false, vec![source(true, down())]),
                Code::Unknown,
            ),
            (
                Some(true),
                sight(false, vec![source(true, Seen::Absent)]),
                Code::Gone,
            ),
            (None, sight(false, Vec::new()), Code::Gone),
            (Some(true), BTreeMap::new(), Code::Unknown),
        ];
        for (readable, sights, code) in table {
            let found = readiness(&release(readable), &sights);
            assert_eq!(found.code, code, "{found:?}");
            assert_eq!(code.word().parse(), Ok(code));
            assert!(!code.broken() || found.next_action.is_some());
        }
    }
}
