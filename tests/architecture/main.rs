//! The house: which crate may know which, which one alone may touch which outside thing, and how large a
//! room may be. It reads manifests and sources; it runs nothing of the product.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Our own crates that each of our crates may depend on.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("docker", &["domain"]),
    ("integrations", &["domain"]),
    ("worker", &["domain", "store", "docker", "integrations"]),
    ("api", &["domain", "store"]),
    (
        "sternway",
        &["domain", "store", "docker", "integrations", "worker", "api"],
    ),
];

/// Crates that touch one outside thing, and who alone may.
const ONLY_IN: [(&str, &[&str]); 8] = [
    ("sqlx", &["store"]),
    ("bollard", &["docker"]),
    // The binary's client commands speak HTTP to our own API.
    ("reqwest", &["integrations", "sternway"]),
    ("axum", &["api"]),
    // An engine's own JSON, which bollard's types would cut.
    ("hyper", &["api", "docker"]),
    ("clap", &["sternway"]),
    (
        "tokio",
        &[
            "store",
            "docker",
            "integrations",
            "worker",
            "api",
            "sternway",
        ],
    ),
    ("getrandom", &["store", "api", "sternway"]),
];

/// Lines of one source file, of the product or of its tests: what is read in one go.
const FILE_LINES_MAX: usize = 500;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 7] = [
    "utils", "util", "helpers", "common", "manager", "handler", "service",
];
/// What may stand at the top of the repository, besides dot files.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "CHANGELOG.md",
    "README.md",
    "crates",
    "migrations",
    "openapi",
    "docker",
    "tests",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are one folder below the root")
        .to_owned()
}

/// Normal dependencies of each of our crates.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"]
        .as_array()
        .expect("a workspace has packages");
    let normal = |package: &Value| {
        let all = package["dependencies"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.iter()
            .filter(|dep| dep["kind"].is_null())
            .map(|dep| text(&dep["name"]))
            .collect()
    };
    packages
        .iter()
        .map(|package| (text(&package["name"]), normal(package)))
        .filter(|(name, _)| name != "tests")
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn product_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for crate_folder in fs::read_dir(root().join("crates"))
        .expect("crates is a folder")
        .flatten()
    {
        sources(&crate_folder.path().join("src"), &mut found);
    }
    // Tests of a file live beside it; the rules are for what ships.
    found.retain(|path| {
        !path.ends_with("tests.rs") && !path.components().any(|part| part.as_os_str() == "tests")
    });
    assert!(
        found.len() > 40,
        "the search for sources finds them: {}",
        found.len()
    );
    found
}

/// Those of the product and those of its tests, wherever they live.
fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["crates", "tests"] {
        sources(&root().join(folder), &mut found);
    }
    let tests = found.len().saturating_sub(product_sources().len());
    assert!(tests > 40, "the search for tests finds them: {tests}");
    found
}

#[test]
fn every_arrow_between_crates_is_one_that_the_design_draws() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into();
    let found = dependencies();
    for (name, uses) in &found {
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("`{name}` is not in the list of crates"));
        for used in uses.iter().filter(|used| found.contains_key(*used)) {
            assert!(
                may.contains(&used.as_str()),
                "`{used}` may not enter `{name}`"
            );
        }
    }
}

#[test]
fn each_outside_thing_is_touched_by_its_own_crate_alone() {
    let found = dependencies();
    for (outside, owners) in ONLY_IN {
        for (name, uses) in &found {
            let entered = uses.iter().any(|used| used == outside);
            assert!(
                !entered || owners.contains(&name.as_str()),
                "`{outside}` may not enter `{name}`"
            );
        }
    }
}

#[test]
fn the_domain_depends_on_nothing_that_could_act() {
    let allowed = [
        // Pure arithmetic over bytes, and rules over data.
        "base64",
        "cel",
        "form_urlencoded",
        "hmac",
        "regex",
        "subtle",
        // Time zones; without its `std` it has neither a clock nor files.
        "jiff",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
        "time",
        "utoipa",
        "uuid",
    ];
    for used in &dependencies()["domain"] {
        assert!(
            allowed.contains(&used.as_str()),
            "`{used}` may not enter `domain`"
        );
    }
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_go() {
    let too_long: Vec<String> = all_sources()
        .iter()
        .filter_map(|path| {
            let source = fs::read_to_string(path).expect("a source is text");
            let lines = source.lines().count();
            (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines", path.display()))
        })
        .collect();
    assert!(
        too_long.is_empty(),
        "more than {FILE_LINES_MAX} lines: {too_long:#?}"
    );
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    for path in product_sources() {
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        assert!(
            !EMPTY_NAMES.contains(&name.as_str()),
            "{} needs a noun",
            path.display()
        );
    }
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    for path in product_sources() {
        let source = fs::read_to_string(&path).expect("a source is text");
        let first = source.lines().next().unwrap_or_default();
        let said = first.starts_with("//!") || first.starts_with("#![doc");
        assert!(said, "{} has no first sentence", path.display());
    }
}

#[test]
fn no_product_code_runs_a_shell() {
    for path in product_sources() {
        let source = fs::read_to_string(&path).expect("a source is text");
        for shell in ["\"sh\"", "\"bash\"", "\"/bin/sh\"", "\"dash\""] {
            assert!(!source.contains(shell), "{} names {shell}", path.display());
        }
    }
}

#[test]
fn the_top_level_holds_what_was_agreed() {
    let listed = Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for path in listed.lines() {
        let top = path.split('/').next().unwrap_or_default();
        assert!(
            top.starts_with('.') || TOP_LEVEL.contains(&top),
            "`{top}` does not belong at the top level"
        );
    }
}
