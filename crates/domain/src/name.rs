//! Names and identifiers, parsed at the door so that nothing behind it has to check again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest name of an application, environment or component: it becomes part of container names.
pub const NAME_CHARS_MAX: usize = 63;
/// Longest version; Docker allows 128 characters in a tag.
pub const VERSION_CHARS_MAX: usize = 128;

/// Longest name of a git tag that we read.
pub const TAG_CHARS_MAX: usize = 200;

/// Why a text is not the name it should be; says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{text}` is not valid: {rule}")]
pub struct BadName {
    what: &'static str,
    text: String,
    rule: &'static str,
}

fn starts_with_alphanumeric(text: &str, lower_only: bool) -> bool {
    text.bytes().next().is_some_and(|b| {
        b.is_ascii_digit() || b.is_ascii_lowercase() || (!lower_only && b.is_ascii_uppercase())
    })
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX
        && starts_with_alphanumeric(text, true)
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-')
        })
}

fn is_version(text: &str) -> bool {
    text.len() <= VERSION_CHARS_MAX
        && starts_with_alphanumeric(text, false)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+'))
}

fn is_image_id(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn is_hex_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_container_id(text: &str) -> bool {
    is_hex_digest(text)
}

fn is_tag(text: &str) -> bool {
    let parts_are_names = text.split('/').all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    });
    text.len() <= TAG_CHARS_MAX
        && starts_with_alphanumeric(text, false)
        && parts_are_names
        && !text.contains("..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+' | b'/'))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_variable(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `repository@sha256:...`, in what a registry's address and a repository's name are made of: it becomes part of the
/// path of a request.
fn is_pull_reference(text: &str) -> bool {
    let Some((repository, digest)) = text.split_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        starts_with_alphanumeric(part, true)
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-:".contains(&b))
    };
    text.len() <= 512 && is_image_id(digest) && repository.split('/').all(plain)
}

fn is_chat_user(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_person(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control)
}

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = $pattern)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(80).collect();
                    Err(BadName { what: $what, text, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

text_newtype!(
    /// Name of an application, unique in one control plane.
    ApplicationName, "application name", is_name,
    "use 1 to 63 of a-z, 0-9, `_`, `.`, `-`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9_.-]{0,62}$"
);
text_newtype!(
    /// Name of a component: the Compose service, or a name given to a set of plain containers.
    ComponentName, "component name", is_name,
    "use 1 to 63 of a-z, 0-9, `_`, `.`, `-`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9_.-]{0,62}$"
);
text_newtype!(
    /// Name of a trigger, unique in one control plane; it is part of the address that its sender posts to.
    TriggerName, "trigger name", is_name,
    "use 1 to 63 of a-z, 0-9, `_`, `.`, `-`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9_.-]{0,62}$"
);
text_newtype!(
    /// Name of a metric, unique in its application.
    MetricName, "metric name", is_name,
    "use 1 to 63 of a-z, 0-9, `_`, `.`, `-`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9_.-]{0,62}$"
);
text_newtype!(
    /// Name of an environment, such as `production`.
    EnvironmentName, "environment name", is_name,
    "use 1 to 63 of a-z, 0-9, `_`, `.`, `-`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9_.-]{0,62}$"
);
text_newtype!(
    /// Version of a release, as the application itself reports it.
    Version, "version", is_version,
    "use 1 to 128 of letters, digits, `_`, `.`, `-`, `+`, starting with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$"
);
text_newtype!(
    /// Identity of an image on an engine: the digest of its configuration, `sha256:` and 64 hex digits.
    /// A tag may move and a local image has no registry digest; this one names exactly one image.
    ImageId, "image digest", is_image_id, "expected `sha256:` and 64 lower-case hex digits",
    "^sha256:[0-9a-f]{64}$"
);
text_newtype!(
    /// What an engine pulls an image by: repository and the digest of its manifest, never a tag.
    PullReference, "image reference", is_pull_reference, "expected `repository@sha256:` and 64 lower-case hex digits",
    "^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$"
);
text_newtype!(
    /// Identity of a container on an engine, 64 hex digits.
    ContainerId, "container id", is_container_id, "expected 64 lower-case hex digits",
    "^[0-9a-f]{64}$"
);
text_newtype!(
    /// SHA-256 over the canonical bytes of a plan, hex. What is approved is this digest.
    PlanDigest, "plan digest", is_hex_digest, "expected 64 lower-case hex digits",
    "^[0-9a-f]{64}$"
);
text_newtype!(
    /// Keyed digest (HMAC-SHA-256, hex) of a container specification, environment values included.
    SpecificationDigest, "specification digest", is_hex_digest, "expected 64 lower-case hex digits",
    "^[0-9a-f]{64}$"
);
text_newtype!(
    /// Name of a git tag, without `refs/tags/`. It can not be taken for an option or a revision expression.
    TagName, "tag", is_tag,
    "use 1 to 200 of letters, digits, `_`, `.`, `-`, `+`, `/`, starting with a letter or digit, as git allows it",
    "^[A-Za-z0-9][A-Za-z0-9_.+/-]{0,199}$"
);
text_newtype!(
    /// Whole identity of a git commit: 40 hex digits, or 64 in a SHA-256 repository.
    CommitId, "commit", is_commit, "expected 40 or 64 lower-case hex digits",
    "^([0-9a-f]{40}|[0-9a-f]{64})$"
);
text_newtype!(
    /// Name of an environment variable, such as `VERSION`.
    VariableName, "variable name", is_variable,
    "use 1 to 63 of letters, digits and `_`, not starting with a digit",
    "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
);
text_newtype!(
    /// Somebody in a chat, by what their chat knows them by and never by a name that they choose: `T0001.U0ADA` (Slack's
    /// team and user), or Mattermost's user.
    ChatUser, "chat user", is_chat_user, "use 1 to 80 of letters, digits, `_`, `.`, `-`",
    "^[A-Za-z0-9_.-]{1,80}$"
);
text_newtype!(
    /// Who did something: a person (`ana`), a local user (`local:root`) or a service (`service:ci`).
    Actor, "actor", is_person, "use 1 to 128 characters without control characters",
    "^[^\\x00-\\x1f\\x7f]{1,128}$"
);

/// How the actor of what an alert started begins.
const TRIGGER_MARK: &str = "trigger:";
/// The actor that puts back what should not have come back.
const WATCHER: &str = "sternway:watcher";

impl Actor {
    /// The watcher: it puts held releases back.
    #[must_use]
    pub fn watcher() -> Self {
        Self(WATCHER.to_owned())
    }

    /// A trigger, by its name: what it starts, no person asked for.
    ///
    /// # Errors
    /// When the name is no name of an actor.
    pub fn of_trigger(name: &str) -> Result<Self, BadName> {
        format!("{TRIGGER_MARK}{name}").parse()
    }

    /// Whether it is a trigger: an alert that was let through.
    #[must_use]
    pub fn is_trigger(&self) -> bool {
        self.trigger().is_some()
    }

    /// The name of the trigger that it is, if it is one.
    #[must_use]
    pub fn trigger(&self) -> Option<&str> {
        self.0.strip_prefix(TRIGGER_MARK)
    }

    /// Whether it acts by itself, with nobody who asked: what the kill switch stops.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.0 == WATCHER || self.is_trigger()
    }
}

/// What stands between a name and a digest in the version of images that no name tells apart.
const IMAGES_MARK: &str = "+image.";
/// Digits of such a digest: as many as Docker shows.
const IMAGES_DIGITS: usize = 12;

impl Version {
    /// A version for images that have no name of their own: because nothing says one, because it does not change
    /// from release to release (`latest`), or because it is the name of a release with other images.
    #[must_use]
    pub fn of_images(name: Option<&Self>, digest: &PlanDigest) -> Self {
        let room = VERSION_CHARS_MAX - IMAGES_MARK.len() - IMAGES_DIGITS;
        let name = name.map_or("unnamed", |name| &name.0[..name.0.len().min(room)]);
        Self(format!("{name}{IMAGES_MARK}{}", &digest.0[..IMAGES_DIGITS]))
    }

    /// What the application itself can be expected to say; none when only its images are known.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        let name = self.name();
        (name.len() == self.0.len() || tells_releases_apart(name)).then_some(name)
    }

    /// Without the digest that [`Version::of_images`] puts behind it.
    #[must_use]
    pub fn name(&self) -> &str {
        let digest = |tail: &str| {
            tail.len() == IMAGES_DIGITS
                && tail
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match self.0.rsplit_once(IMAGES_MARK) {
            Some((name, tail)) if digest(tail) => name,
            Some(_) | None => &self.0,
        }
    }
}

/// Whether a tag names a release: `latest`, `stable` and `main` move, and have no digit.
#[must_use]
pub fn tells_releases_apart(tag: &str) -> bool {
    tag.bytes().any(|b| b.is_ascii_digit())
}

impl ImageId {
    /// The first twelve hex digits, as Docker prints them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0["sha256:".len()..][..12]
    }
}

impl CommitId {
    /// The first twelve hex digits: enough for a person.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl ContainerId {
    /// The first twelve hex digits, as Docker prints them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl PlanDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(crate::chain::sha256_hex(&[bytes]))
    }
}

/// Identity of a rollback: UUIDv7, so that order of creation is order of identifiers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = Uuid)]
pub struct RollbackId(pub Uuid);

impl RollbackId {
    /// Digits of [`RollbackId::short`].
    pub const SHORT_CHARS: usize = 12;

    /// Twelve hex digits that name this rollback in container names: the random tail, since the head is time.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.simple().to_string()[32 - Self::SHORT_CHARS..].to_owned()
    }
}

impl std::fmt::Display for RollbackId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

/// Counter per application that only grows, taken anew at each claim. The higher fence is the living owner.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub i64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_with_meaning_to_a_shell_or_a_path_are_refused() {
        for bad in [
            "",
            "-rf",
            "a b",
            "a;b",
            "../x",
            "A",
            "a\0b",
            "a/b",
            "ä",
            "$(x)",
            &"a".repeat(64),
        ] {
            assert!(
                bad.parse::<ApplicationName>().is_err(),
                "{bad:?} was let in"
            );
        }
    }

    #[test]
    fn a_tag_is_no_option_no_path_and_no_expression() {
        for good in ["v1.4.2", "1.4.2+build.7", "release/api-2"] {
            assert!(good.parse::<TagName>().is_ok(), "{good}");
        }
        for bad in [
            "", "-v1", "v1..v2", "v1^{}", "v1~1", "a//b", "a/", "/a", "a/.b", "a.lock", "a.",
            "a b", "@{1}", "v1:x", "*",
        ] {
            assert!(bad.parse::<TagName>().is_err(), "{bad:?} was let in");
        }
        assert!("HEAD".parse::<CommitId>().is_err());
        assert!("a".repeat(40).parse::<CommitId>().is_ok());
    }

    #[test]
    fn an_image_is_named_by_its_digest_only() {
        assert!("app:1.4.2".parse::<ImageId>().is_err());
        let id: ImageId = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
        assert_eq!(id.short(), "0a0a0a0a0a0a");
    }

    #[test]
    fn an_image_is_pulled_by_digest_only() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in ["shop", "127.0.0.1:5000/shop/api", "ghcr.io/a_b/c.d"] {
            assert!(
                format!("{good}@{digest}").parse::<PullReference>().is_ok(),
                "{good}"
            );
        }
        for bad in ["shop/../x", "/shop", "shop//api", "Shop", "shop?x=1", ""] {
            assert!(
                format!("{bad}@{digest}").parse::<PullReference>().is_err(),
                "{bad}"
            );
        }
        assert!("shop:1.4.2".parse::<PullReference>().is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_let_in_is_a_safe_argument(text in "\\PC{0,80}") {
            if let Ok(name) = text.parse::<ApplicationName>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(!name.as_str().starts_with('-'));
            }
        }
    }
}
