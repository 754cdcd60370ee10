//! Where an image can be had that is not on the engine: by digest from a registry, or from an archive that we keep.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    name::{ComponentName, ImageId, PullReference},
    seen::Seen,
};

/// Sources that are tried for one image: each is given one try, and a step takes no more refusals than this.
pub const SOURCES_MAX: usize = 3;

/// A place outside the engine that an image can be brought from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ImageSource {
    /// A file as `docker save` writes it, on the worker's own disk.
    Archive(Archive),
    /// A registry, by digest and never by tag.
    Registry {
        /// What the engine is told to pull.
        reference: PullReference,
    },
}

/// An image in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Archive {
    /// Absolute path of the file.
    pub path: String,
    /// SHA-256 over the whole file, hex.
    pub sha256: String,
    /// How long the file is.
    pub bytes: u64,
}

impl std::fmt::Display for ImageSource {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Archive(archive) => write!(out, "the archive {}", archive.path),
            Self::Registry { reference } => write!(out, "the registry as {reference}"),
        }
    }
}

/// A source, and whether the image was seen there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSeen {
    /// The source.
    pub source: ImageSource,
    /// Whether it has the image.
    pub there: Seen<()>,
}

/// An image that has to be brought to the engine before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// The image.
    pub image: ImageId,
    /// The components that run it, for people.
    pub components: Vec<ComponentName>,
    /// Where it can be had, in the order in which it is tried.
    pub sources: Vec<ImageSource>,
    /// The processor that it must be made for: the one of what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// The sources that can be counted on, in the order in which they are tried: what lies on our own disk first, since
/// it needs nobody else.
#[must_use]
pub fn usable(seen: &[SourceSeen]) -> Vec<ImageSource> {
    let mut usable: Vec<ImageSource> = seen
        .iter()
        .filter(|seen| seen.there.is_known())
        .map(|seen| seen.source.clone())
        .collect();
    usable.sort();
    usable.dedup();
    usable.truncate(SOURCES_MAX);
    usable
}

/// Why none of these sources has the image: one clause each.
#[must_use]
pub fn why_not(seen: &[SourceSeen]) -> String {
    let clause = |seen: &SourceSeen| match &seen.there {
        Seen::Known(()) => None,
        Seen::Absent => Some(format!("{} does not have it", seen.source)),
        Seen::Unknown(why) => Some(format!("{} could not be looked at: {why}", seen.source)),
    };
    seen.iter()
        .filter_map(clause)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(path: &str) -> ImageSource {
        ImageSource::Archive(Archive {
            path: path.to_owned(),
            sha256: "ab".repeat(32),
            bytes: 1,
        })
    }

    fn registry() -> ImageSource {
        let reference = format!("127.0.0.1:5000/shop/api@sha256:{}", "cd".repeat(32));
        ImageSource::Registry {
            reference: reference.parse().unwrap(),
        }
    }

    fn seen(source: ImageSource, there: Seen<()>) -> SourceSeen {
        SourceSeen { source, there }
    }

    #[test]
    fn what_lies_on_our_own_disk_is_tried_first() {
        let found = usable(&[
            seen(registry(), Seen::Known(())),
            seen(archive("/a"), Seen::Known(())),
            seen(archive("/b"), Seen::Absent),
        ]);
        assert_eq!(found, [archive("/a"), registry()]);
    }

    #[test]
    fn a_source_that_could_not_be_looked_at_is_not_counted_on() {
        let away = [seen(
            registry(),
            Seen::Unknown("connection refused".to_owned()),
        )];
        assert!(usable(&away).is_empty());
        assert!(why_not(&away).ends_with("could not be looked at: connection refused"));
    }

    #[test]
    fn a_source_survives_storage() {
        for source in [archive("/a"), registry()] {
            let text = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<ImageSource>(&text).unwrap(), source);
        }
    }
}
