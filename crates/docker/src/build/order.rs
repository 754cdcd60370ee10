//! What exactly is built: which commit, of which repository, how, as which version of what.

use std::collections::HashMap;

use domain::{
    chain::sha256_hex,
    name::{ApplicationName, CommitId, ComponentName, TagName, Version},
    plan::Plan,
    source::{Build, Source},
};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::KEY;
use crate::error::{Error, Kind};

/// One build of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildOrder {
    /// The application.
    pub application: ApplicationName,
    /// The component.
    pub component: ComponentName,
    /// The version that it becomes.
    pub version: Version,
    /// Where its source is.
    pub source: Source,
    /// The tag of the version.
    pub tag: TagName,
    /// The commit.
    pub commit: CommitId,
    /// How it is built.
    pub build: Build,
}

impl BuildOrder {
    /// The build of a component that a plan has; none when it has no such.
    #[must_use]
    pub fn of(plan: &Plan, component: &ComponentName) -> Option<Self> {
        let tagged = plan.source.as_ref().filter(|_| plan.builds(component))?;
        Some(Self {
            application: plan.application.name.clone(),
            component: component.clone(),
            version: plan.to.clone(),
            source: plan.application.source.clone()?,
            tag: tagged.tag.clone(),
            commit: tagged.commit.clone(),
            build: plan.application.component(component)?.build.clone()?,
        })
    }

    /// Names everything that decides what comes out, as far as we decide it.
    pub(super) fn key(&self) -> String {
        let all = json!([
            self.application,
            self.component,
            self.version,
            self.source.repository,
            self.commit,
            self.build
        ]);
        sha256_hex(&[all.to_string().as_bytes()])
    }

    /// How a failure of it begins.
    pub(super) fn what(&self) -> String {
        format!(
            "building {} from tag {} ({})",
            self.component,
            self.tag,
            self.commit.short()
        )
    }

    /// The image's labels: the same for every build of this commit.
    pub(super) fn labels(&self, committed_at: i64) -> Result<HashMap<String, String>, Error> {
        let created = OffsetDateTime::from_unix_timestamp(committed_at)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .ok_or_else(|| {
                Error::new(
                    Kind::BuildFailed,
                    format!("{}: the commit's time is out of range", self.what()),
                )
            })?;
        let label = |name: &str, value: String| (format!("org.opencontainers.image.{name}"), value);
        Ok(HashMap::from([
            label("version", self.version.to_string()),
            label("revision", self.commit.to_string()),
            label("source", self.source.repository.clone()),
            label("created", created),
            (KEY.to_owned(), self.key()),
        ]))
    }

    /// The tag by which a person finds the image: `sternway-build/<application>-<component>:<version>`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}:{}", self.tag_repository(), self.tag_name())
    }

    pub(super) fn tag_repository(&self) -> String {
        let name = format!("{}-{}", self.application, self.component);
        // A repository's name takes one separator between letters and digits, and none at its end.
        let parts: Vec<&str> = name
            .split(['-', '_', '.'])
            .filter(|part| !part.is_empty())
            .collect();
        format!("sternway-build/{}", parts.join("-"))
    }

    pub(super) fn tag_name(&self) -> String {
        self.version.as_str().replace('+', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn order() -> BuildOrder {
        BuildOrder {
            application: "shop".parse().unwrap(),
            component: "api".parse().unwrap(),
            version: "1.4.2+7".parse().unwrap(),
            source: serde_json::from_value(json!({"repository": "/srv/shop.git"})).unwrap(),
            tag: "v1.4.2+7".parse().unwrap(),
            commit: "ab".repeat(20).parse().unwrap(),
            build: Build::default(),
        }
    }

    #[test]
    fn the_tag_is_one_that_an_engine_takes() {
        assert_eq!(order().reference(), "sternway-build/shop-api:1.4.2_7");
        let odd = BuildOrder {
            application: "a__b.-c".parse().unwrap(),
            ..order()
        };
        assert_eq!(odd.reference(), "sternway-build/a-b-c-api:1.4.2_7");
    }

    #[test]
    fn whatever_changes_what_comes_out_changes_the_key() {
        let mut with_args = order();
        with_args.build.args.insert("A".to_owned(), "1".to_owned());
        let others = [
            with_args,
            BuildOrder {
                commit: "cd".repeat(20).parse().unwrap(),
                ..order()
            },
            BuildOrder {
                component: "web".parse().unwrap(),
                ..order()
            },
        ];
        for other in others {
            assert_ne!(other.key(), order().key());
        }
        assert_eq!(order().key(), order().key());
    }

    #[test]
    fn labels_say_the_commits_time_and_not_ours() {
        let labels = order().labels(1_772_366_400).unwrap();
        assert_eq!(
            labels["org.opencontainers.image.created"],
            "2026-03-01T12:00:00Z"
        );
        assert_eq!(labels["org.opencontainers.image.revision"], "ab".repeat(20));
    }
}
