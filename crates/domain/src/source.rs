//! Where an application's source is, how a version is found in it, and how an image is built from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    address,
    application::{BadField, URL_CHARS_MAX, is_plain},
    name::{CommitId, TagName, Version},
};

/// Most build arguments of one component: they travel in the request line of the engine.
pub const ARGS_MAX: usize = 64;
/// Longest value of a build argument.
pub const ARG_CHARS_MAX: usize = 1024;
/// Longest path inside a repository.
const PATH_CHARS_MAX: usize = 512;
/// Where the version stands in a tag pattern.
const VERSION_HOLE: &str = "{version}";
/// Fewest digits of a commit that name one: what `git log --oneline` prints.
const COMMIT_DIGITS_MIN: usize = 7;

/// The git repository that an application's images are built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Repository)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// An absolute path on the server, or an `https://` or `ssh://` URL without credentials in it.
    #[schema(example = "https://git.example.org/shop.git")]
    pub repository: String,
    /// The git credential helper for an `https://` repository: its name (`store` for `git-credential-store`)
    /// or the absolute path of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_helper: Option<String>,
    /// The tag of a version, with `{version}` where the version stands.
    #[serde(default = "tag_pattern_default")]
    #[schema(example = "v{version}")]
    pub tag_pattern: String,
}

/// How one component's image is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// The folder in the repository that is sent to the engine.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// Build arguments. They are visible in the image and no place for secrets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            context: ".".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            args: BTreeMap::new(),
        }
    }
}

fn tag_pattern_default() -> String {
    format!("v{VERSION_HOLE}")
}

/// A tag of a repository and the commit that it names now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// Its name.
    pub name: TagName,
    /// The commit.
    pub commit: CommitId,
}

/// The tags of a repository, as seen once; the highest versions first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagsSeen {
    /// Those that were read.
    pub tags: Vec<Tag>,
    /// Whether there are more than are read.
    pub more: bool,
}

impl TagsSeen {
    /// The tag of that name.
    #[must_use]
    pub fn find(&self, name: &TagName) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.name == *name)
    }
}

impl Source {
    /// The tag of a version; none when the pattern makes no legal tag of it.
    #[must_use]
    pub fn tag_of(&self, version: &Version) -> Option<TagName> {
        let text = self.tag_pattern.replace(VERSION_HOLE, version.as_str());
        text.parse().ok()
    }

    /// The version that a tag stands for; none when the pattern is another one.
    #[must_use]
    pub fn version_of(&self, tag: &TagName) -> Option<Version> {
        let (before, after) = self.tag_pattern.split_once(VERSION_HOLE)?;
        let text = tag.as_str().strip_prefix(before)?.strip_suffix(after)?;
        text.parse().ok()
    }

    /// Whether the repository is a folder on the server.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.repository.starts_with('/')
    }

    pub(crate) fn check(&self, field: &str, bad: &mut Vec<BadField>) {
        if let Some(what) = repository_trouble(&self.repository) {
            bad.push(BadField::new(format!("{field}.repository"), what));
        }
        if let Some(helper) = &self.credential_helper {
            if !is_helper(helper) {
                let what = "use a helper's name (letters, digits, `-`) or the absolute path of its program, without \
                            arguments";
                bad.push(BadField::new(format!("{field}.credential_helper"), what));
            } else if !self.repository.starts_with("https://") {
                let what =
                    "is for https:// repositories; a path needs none and ssh has its own keys";
                bad.push(BadField::new(format!("{field}.credential_helper"), what));
            }
        }
        let holes = self.tag_pattern.matches(VERSION_HOLE).count();
        let probe: Result<TagName, _> = self.tag_pattern.replace(VERSION_HOLE, "1").parse();
        if holes != 1 || probe.is_err() {
            let what =
                "write `{version}` exactly once, in what else git allows in a tag: `v{version}`";
            bad.push(BadField::new(format!("{field}.tag_pattern"), what));
        }
    }
}

impl Build {
    pub(crate) fn check(&self, field: &str, bad: &mut Vec<BadField>) {
        for (name, path) in [("context", &self.context), ("dockerfile", &self.dockerfile)] {
            if !is_inside(path) {
                let what =
                    "use a path inside the repository: relative, without `..`, spaces or controls";
                bad.push(BadField::new(format!("{field}.{name}"), what));
            }
        }
        if self.dockerfile == "." {
            let what = "name the file, such as `Dockerfile`";
            bad.push(BadField::new(format!("{field}.dockerfile"), what));
        }
        if self.args.len() > ARGS_MAX {
            let what = format!("give at most {ARGS_MAX}");
            bad.push(BadField::new(format!("{field}.args"), what));
        }
        for (name, value) in &self.args {
            let named = name
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && name.len() <= 128
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !named {
                let what = format!(
                    "`{}` is no argument's name: use letters, digits and `_`",
                    brief(name)
                );
                bad.push(BadField::new(format!("{field}.args"), what));
            }
            if value.len() > ARG_CHARS_MAX || value.chars().any(char::is_control) {
                let what = format!("use at most {ARG_CHARS_MAX} bytes without control characters");
                bad.push(BadField::new(format!("{field}.args.{}", brief(name)), what));
            }
        }
    }
}

/// Whether a commit as the ledger has it, whole or its first digits, is this one. None when the ledger's is no
/// commit that could be compared.
#[must_use]
pub fn same_commit(recorded: &str, commit: &CommitId) -> Option<bool> {
    let recorded = recorded.to_ascii_lowercase();
    let hex = recorded.bytes().all(|b| b.is_ascii_hexdigit());
    let long_enough = (COMMIT_DIGITS_MIN..=commit.as_str().len()).contains(&recorded.len());
    (hex && long_enough).then(|| commit.as_str().starts_with(&recorded))
}

fn brief(text: &str) -> String {
    text.chars().take(40).collect()
}

fn repository_trouble(repository: &str) -> Option<&'static str> {
    const KINDS: &str = "use an absolute path, `https://host/path` or `ssh://user@host/path`";
    if !is_plain(repository, URL_CHARS_MAX) || repository.contains('\\') {
        return Some(KINDS);
    }
    if let Some(path) = repository.strip_prefix('/') {
        let inside = path.split('/').all(|part| part != "..");
        return (path.is_empty() || !inside).then_some(KINDS);
    }
    let https = repository.strip_prefix("https://");
    match https.or_else(|| repository.strip_prefix("ssh://")) {
        Some(rest) => url_trouble(rest, https.is_some()),
        None => Some(KINDS),
    }
}

fn url_trouble(rest: &str, https: bool) -> Option<&'static str> {
    const WHOLE: &str = "write the host and the path: `https://host/path`, `ssh://user@host/path`";
    let found = address::parts(rest);
    let user = found.user.unwrap_or_default();
    if user.contains(':') || (https && !user.is_empty()) {
        return Some(
            "leave credentials out of the URL: they would be shown to everybody; use `credential_helper`",
        );
    }
    let user_is_plain = !user.starts_with('-')
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let plain = address::is_host(found.host) && user_is_plain && !found.path.is_empty();
    let asks = found.path.contains(['?', '#']);
    (!plain || asks).then_some(WHOLE)
}

fn is_helper(helper: &str) -> bool {
    let named = |text: &str| {
        text.bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    helper.len() <= PATH_CHARS_MAX
        && match helper.strip_prefix('/') {
            Some(path) => path.split('/').all(named),
            None => !helper.contains('.') && named(helper),
        }
}

fn is_inside(path: &str) -> bool {
    let plain = is_plain(path, PATH_CHARS_MAX) && !path.contains('\\');
    plain
        && (path == "."
            || path.split('/').all(|part| {
                !part.is_empty()
                    && part != "."
                    && part != ".."
                    && part != ".git"
                    && !part.starts_with('-')
            }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(repository: &str) -> Source {
        Source {
            repository: repository.to_owned(),
            credential_helper: None,
            tag_pattern: tag_pattern_default(),
        }
    }

    fn fields(check: impl Fn(&mut Vec<BadField>)) -> Vec<String> {
        let mut bad = Vec::new();
        check(&mut bad);
        bad.into_iter().map(|bad| bad.field).collect()
    }

    #[test]
    fn a_repository_is_a_path_or_a_url_without_credentials() {
        for good in [
            "/srv/git/shop.git",
            "https://git.example.org/shop.git",
            "ssh://git@git.example.org:2222/~/shop",
            "https://[::1]:8443/shop",
        ] {
            assert_eq!(
                fields(|bad| source(good).check("source", bad)),
                Vec::<String>::new(),
                "{good}"
            );
        }
        for bad_one in [
            "",
            "/",
            "shop.git",
            "../shop",
            "/srv/../etc",
            "git@host:shop.git",
            "http://host/shop",
            "file:///srv/x",
            "ext::id",
            "https://ana:secret@host/x",
            "https://token@host/x",
            "ssh://-oProxyCommand=id/x",
            "ssh://host",
            "https:///x",
            "https://host/x?y",
            "--upload-pack=id",
            "https://ho st/x",
        ] {
            assert_eq!(
                fields(|bad| source(bad_one).check("source", bad)),
                ["source.repository"],
                "{bad_one:?}"
            );
        }
    }

    #[test]
    fn a_helper_is_a_program_and_never_a_command_line() {
        for good in ["store", "cache", "/usr/local/bin/git-credential-site"] {
            let helped = Source {
                credential_helper: Some(good.to_owned()),
                ..source("https://host/x")
            };
            assert_eq!(
                fields(|bad| helped.check("source", bad)),
                Vec::<String>::new(),
                "{good}"
            );
        }
        for wrong in [
            "!id",
            "store --file=/x",
            "../x",
            "/bin/../x",
            "",
            "-x",
            "$(id)",
            "a;b",
        ] {
            let helped = Source {
                credential_helper: Some(wrong.to_owned()),
                ..source("https://host/x")
            };
            assert_eq!(
                fields(|bad| helped.check("source", bad)),
                ["source.credential_helper"],
                "{wrong:?}"
            );
        }
        let useless = Source {
            credential_helper: Some("store".to_owned()),
            ..source("/srv/x")
        };
        assert_eq!(
            fields(|bad| useless.check("source", bad)),
            ["source.credential_helper"]
        );
    }

    #[test]
    fn a_pattern_turns_versions_into_tags_and_back() {
        let source = Source {
            tag_pattern: "release/{version}-api".to_owned(),
            ..source("/srv/x")
        };
        let tag = source.tag_of(&"1.4.2".parse().unwrap()).unwrap();
        assert_eq!(tag.as_str(), "release/1.4.2-api");
        assert_eq!(source.version_of(&tag).unwrap().as_str(), "1.4.2");
        assert_eq!(source.version_of(&"v1.4.2".parse().unwrap()), None);
        for wrong in [
            "v",
            "{version}{version}",
            "-{version}",
            "v{version}..x",
            "v {version}",
        ] {
            let source = Source {
                tag_pattern: wrong.to_owned(),
                ..source.clone()
            };
            assert_eq!(
                fields(|bad| source.check("source", bad)),
                ["source.tag_pattern"],
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_build_stays_inside_its_repository() {
        let good = Build {
            context: "services/api".to_owned(),
            ..Build::default()
        };
        assert_eq!(fields(|bad| good.check("build", bad)), Vec::<String>::new());
        for wrong in ["/etc", "..", "a/../../b", "a//b", "", "-x", "a/.git", "a b"] {
            let build = Build {
                context: wrong.to_owned(),
                ..Build::default()
            };
            assert_eq!(
                fields(|bad| build.check("build", bad)),
                ["build.context"],
                "{wrong:?}"
            );
        }
        let args = [
            ("1X".to_owned(), "y".to_owned()),
            ("OK".to_owned(), "a\nb".to_owned()),
        ]
        .into();
        let build = Build {
            args,
            dockerfile: ".".to_owned(),
            ..Build::default()
        };
        assert_eq!(
            fields(|bad| build.check("build", bad)),
            ["build.dockerfile", "build.args", "build.args.OK"]
        );
    }

    #[test]
    fn a_commit_is_compared_by_the_digits_that_the_ledger_has() {
        let commit: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        assert_eq!(same_commit("0123456", &commit), Some(true));
        assert_eq!(same_commit("0123456789ABCDEF", &commit), Some(true));
        assert_eq!(same_commit("1123456", &commit), Some(false));
        for incomparable in ["012345", "main", "", "release 1.4.2"] {
            assert_eq!(same_commit(incomparable, &commit), None, "{incomparable}");
        }
    }

    proptest! {
        #[test]
        fn whatever_repository_is_let_in_is_a_safe_argument(text in "(https://|ssh://|/|-)?\\PC{0,40}") {
            let source = source(&text);
            if fields(|bad| source.check("source", bad)).is_empty() {
                prop_assert!(!text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(text.starts_with('/') || text.starts_with("https://") || text.starts_with("ssh://"));
            }
        }
    }
}
