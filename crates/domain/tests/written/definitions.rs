//! Definitions of applications and of triggers, in JSON and in TOML: what passes its checks is written down as it was, and
//! keeps the limits that what comes later relies on.

use domain::{application::Application, trigger::Trigger};
use proptest::{prelude::*, sample::Index, sample::select, test_runner::TestCaseError};

const SHOP: &str = r#"
name = "shop"
environment = "production"
project = "shop"
watch_window_s = 900
approval = true
approvers = 2
on_return = "put_back"

[compose]
folder = "/srv/shop"
files = ["compose.yml"]
pin = { env = "VERSION" }

[timeouts]
proof_s = 60
approval_s = 900

[guards]
settle_s = 30

[source]
repository = "/srv/git/shop.git"
tag_pattern = "v{version}"

[retain]
releases = 5
pinned = ["1.3.0"]
copy = { archive = "/var/backups/sternway" }

[[metrics]]
name = "error_share"
url = "http://prometheus:9090"
query = "sum(rate(failures[5m])) / sum(rate(answers[5m]))"
question = "many_users"
above = 0.1

[[components]]
name = "api"
after = ["worker"]
version_endpoint = { port = 8080, path = "/api/version" }

[[components.probes]]
kind = "http"
port = 8080
path = "/health"

[components.front]
balancer = { kind = "haproxy", socket = "/run/haproxy/admin.sock", backend = "shop" }
servers = ["s1"]
port = 8080

[[components]]
name = "worker"
overlap = false

[components.build]
context = "."
dockerfile = "Dockerfile"
"#;

const PAGER: &str = r#"
name = "pager"
kind = "generic"
mode = "auto"
severities = { high = "down" }

[settings]
timestamp_header = "x-time"
signature_prefix = "sha256="
fields = { state = "/state", key = "/key", started_at = "/at" }
states = { firing = ["ALARM"] }

[[routes]]
application = "shop"
service = "PSVC001"
labels = { team = "shop" }
rule = "severity == 'critical'"
images = { api = "registry.example/shop:{version}" }
"#;

/// The text with some of it changed: a byte, a word for another, a line twice or away.
fn changed() -> impl Strategy<Value = Vec<(Index, String, u8)>> {
    let word = prop_oneof![
        select(vec![
            "true",
            "0",
            "-1",
            "4294967296",
            "\"\"",
            "[]",
            "{}",
            "\"../../etc\"",
            "\"-x\"",
            "\"a\\u0000b\"",
            "1e9",
            "\"$(id)\"",
            "=",
            "[[components]]",
            "[timeouts]",
            "name = \"x\"",
            "\"http://10.0.0.1\"",
            "\"tcp://10.0.0.1:2375\"",
            "65536",
            "\"é\"",
            "nan",
        ])
        .prop_map(ToOwned::to_owned),
        "\\PC{0,8}",
        "[a-z]{70,80}",
    ];
    prop::collection::vec((any::<Index>(), word, 0..4_u8), 0..3)
}

fn apply(text: &str, changes: &[(Index, String, u8)]) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for (at, word, how) in changes {
        let at = at.index(lines.len());
        match how {
            0 => {
                let (key, _) = lines[at].split_once('=').unwrap_or((&lines[at], ""));
                lines[at] = format!("{key}= {word}");
            }
            1 => lines[at] = word.clone(),
            2 => lines.insert(at, lines[at].clone()),
            _ => lines[at].clear(),
        }
    }
    lines.join("\n")
}

/// What is read and passes is the same after it was written and read again, in both forms.
fn kept<Definition>(
    text: &str,
    fits: impl Fn(&Definition) -> bool,
) -> Result<Option<Definition>, TestCaseError>
where
    Definition: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(read) = toml::from_str::<Definition>(text) else {
        return Ok(None);
    };
    if !fits(&read) {
        return Ok(None);
    }
    let json =
        serde_json::to_string(&read).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let again: Result<Definition, _> = serde_json::from_str(&json);
    prop_assert_eq!(again.as_ref().ok(), Some(&read), "{}", json);
    let written =
        toml::to_string(&read).map_err(|error| TestCaseError::fail(format!("{error}: {json}")))?;
    let again: Result<Definition, _> = toml::from_str(&written);
    prop_assert_eq!(again.as_ref().ok(), Some(&read), "{}", written);
    Ok(Some(read))
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_definition_that_passes_is_the_same_in_every_form(changes in changed(), noise in "\\PC{0,60}") {
        prop_assert!(kept::<Application>(SHOP, |shop| shop.check().is_ok())?.is_some(), "the sample itself");
        let _ = kept::<Application>(&noise, |shop| shop.check().is_ok())?;
        let Some(shop) = kept::<Application>(&apply(SHOP, &changes), |shop| shop.check().is_ok())? else { return Ok(()) };
        prop_assert!((1..=64).contains(&shop.components.len()));
        prop_assert!(shop.watch_window_s <= 86_400 && (1..=2).contains(&shop.approvers));
        prop_assert!((1..=3600).contains(&shop.timeouts.proof_s) && (1..=86_400).contains(&shop.timeouts.approval_s));
        for metric in &shop.metrics {
            let bounds = [metric.above, metric.below];
            prop_assert_eq!(bounds.iter().flatten().count(), 1, "{:?}", metric);
            prop_assert!(metric.url.starts_with("http") && !metric.url.contains('@'), "{}", metric.url);
        }
        prop_assert!(shop.engine == "local" || shop.engine.starts_with("unix:///"), "{}", shop.engine);
        for component in &shop.components {
            prop_assert!(component.probes.len() <= 16 && component.containers.len() <= 64);
            if let Some(build) = &component.build {
                let walks = |path: &str| path.starts_with('/') || path.split('/').any(|part| part == "..");
                prop_assert!(!walks(&build.context) && !walks(&build.dockerfile), "{build:?}");
            }
        }
    }

    #[test]
    fn a_trigger_that_passes_is_the_same_in_every_form(changes in changed(), noise in "\\PC{0,60}") {
        prop_assert!(kept::<Trigger>(PAGER, |pager| pager.check().is_ok())?.is_some(), "the sample itself");
        let _ = kept::<Trigger>(&noise, |pager| pager.check().is_ok())?;
        if let Some(pager) = kept::<Trigger>(&apply(PAGER, &changes), |pager| pager.check().is_ok())? {
            prop_assert!(pager.routes.len() <= 64);
            prop_assert!(pager.trusted() <= domain::trigger::TrustTier::Signed);
        }
    }
}
