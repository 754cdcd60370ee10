//! Tags and checkouts of real repositories.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use docker::{Limits, SourceKind};

use crate::place::{Place, build, source, tag};

#[tokio::test]
async fn tags_are_listed_with_the_commits_that_they_name() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    let first = place.release("v1.9.0");
    place.write("a", "1");
    let second = place.release("v1.10.0");
    place.git(&[
        "tag",
        "--annotate",
        "--message",
        "signed off",
        "v2.0.0",
        first.as_str(),
    ]);
    place.git(&["tag", "not,ours"]);
    let seen = place.sources().tags(&place.source, None).await.unwrap();
    let found: Vec<_> = seen
        .tags
        .iter()
        .map(|tag| (tag.name.as_str(), &tag.commit))
        .collect();
    assert_eq!(
        found,
        [("v2.0.0", &first), ("v1.10.0", &second), ("v1.9.0", &first)]
    );
    let one = place
        .sources()
        .tags(&place.source, Some(&tag("v1.9.0")))
        .await
        .unwrap();
    assert_eq!(one.tags.len(), 1);
    let none = place
        .sources()
        .tags(&place.source, Some(&tag("v1.9")))
        .await
        .unwrap();
    assert!(none.tags.is_empty(), "{none:?}");
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_said_to_be() {
    let place = Place::new();
    for gone in [
        "/nowhere/shop.git",
        "https://127.0.0.1:1/shop.git",
        "ssh://git@127.0.0.1:1/shop.git",
    ] {
        let error = place.sources().tags(&source(gone), None).await.unwrap_err();
        assert_eq!(error.kind(), SourceKind::Unreachable, "{error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("read the tags of {gone}: ")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_checkout_is_one_commit_and_is_removed() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    place.write("run", "#!/bin/true\n");
    place.executable("run");
    let commit = place.release("v1");
    place.write("later", "x");
    place.release("v2");
    place.write("dirty", "never committed");
    let sources = place.sources();
    let checkout = sources
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(checkout.tree())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["Dockerfile", "run"],
        "neither a later commit nor what was not committed"
    );
    assert_eq!(
        fs::metadata(checkout.tree().join("run"))
            .unwrap()
            .permissions()
            .mode()
            & 0o111,
        0o111
    );
    let folder = checkout.tree().parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(checkout);
    assert_eq!(place.checkouts_left().await, 0);
}

#[tokio::test]
async fn a_tag_that_is_gone_or_names_another_commit_is_told_apart() {
    let place = Place::new();
    let planned = place.release("v1");
    place.write("a", "1");
    place.release("v1");
    let sources = place.sources();
    let moved = sources
        .checkout(&place.source, &tag("v1"), &planned)
        .await
        .unwrap_err();
    assert_eq!(moved.kind(), SourceKind::TagMoved, "{moved}");
    let gone = sources
        .checkout(&place.source, &tag("v3"), &planned)
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), SourceKind::TagMissing, "{gone}");
    assert_eq!(place.checkouts_left().await, 0);
}

#[tokio::test]
async fn a_tag_that_moved_is_seen_although_the_former_one_is_in_the_cache() {
    let place = Place::new();
    let first = place.release("v1");
    let sources = place.sources();
    drop(
        sources
            .checkout(&place.source, &tag("v1"), &first)
            .await
            .unwrap(),
    );
    place.write("a", "1");
    let second = place.release("v1");
    assert_eq!(
        sources
            .checkout(&place.source, &tag("v1"), &first)
            .await
            .unwrap_err()
            .kind(),
        SourceKind::TagMoved
    );
    sources
        .checkout(&place.source, &tag("v1"), &second)
        .await
        .unwrap();
}

#[tokio::test]
async fn nothing_of_the_repository_is_run() {
    let place = Place::new();
    let trace = place.folder.join("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", trace.display());
    place.write(".git/hooks/post-checkout", &script);
    place.executable(".git/hooks/post-checkout");
    place.write(".git/hooks/pre-upload-pack", &script);
    place.executable(".git/hooks/pre-upload-pack");
    place.write(".gitattributes", "* filter=evil\n");
    place.write("evil", "x");
    let helper = place.folder.join("evil.sh");
    fs::write(&helper, &script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let commit = place.release("v1");
    place.git(&["config", "filter.evil.smudge", helper.to_str().unwrap()]);
    place.git(&[
        "config",
        "uploadpack.packObjectsHook",
        helper.to_str().unwrap(),
    ]);
    place.git(&["config", "core.fsmonitor", helper.to_str().unwrap()]);
    let checkout = place
        .sources()
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(checkout.tree().join("evil")).unwrap(),
        "x"
    );
    assert!(!trace.exists(), "something of the repository was run");
}

#[tokio::test]
async fn submodules_are_refused_by_name() {
    let (place, other) = (Place::new(), Place::new());
    other.release("v1");
    place.git(&[
        "submodule",
        "--quiet",
        "add",
        other.repository().to_str().unwrap(),
        "vendor/lib",
    ]);
    let commit = place.release("v1");
    let error = place
        .sources()
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SourceKind::Unfit);
    assert!(
        error.to_string().contains("`vendor/lib` is a submodule"),
        "{error}"
    );
}

#[tokio::test]
async fn a_commit_that_is_too_large_is_refused_before_it_is_written() {
    let place = Place::new();
    place.write("big", &"x".repeat(3 << 20));
    let commit = place.release("v1");
    let small = Limits {
        tree_bytes: 2 << 20,
        ..Limits::default()
    };
    let error = place
        .sources_with(small)
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more than 2 MiB"), "{error}");
    place.write("b", "");
    let commit = place.release("v2");
    let few = Limits {
        files: 1,
        ..Limits::default()
    };
    let error = place
        .sources_with(few)
        .checkout(&place.source, &tag("v2"), &commit)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("2 files, more than 1"),
        "{error}"
    );
    assert_eq!(place.checkouts_left().await, 0);
}

#[tokio::test]
async fn a_lock_that_a_killed_fetch_left_is_no_obstacle() {
    let place = Place::new();
    let commit = place.release("v1");
    let sources = place.sources();
    drop(
        sources
            .checkout(&place.source, &tag("v1"), &commit)
            .await
            .unwrap(),
    );
    let cache = fs::read_dir(place.folder.join("state/cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    fs::write(cache.join("shallow.lock"), "").unwrap();
    fs::write(cache.join("refs/tags/v1.lock"), "").unwrap();
    place.write("a", "1");
    let commit = place.release("v1");
    sources
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_dead_process_left_is_removed_at_the_next_start() {
    let place = Place::new();
    let commit = place.release("v1");
    let checkout = place
        .sources()
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
    std::mem::forget(checkout);
    assert_eq!(
        fs::read_dir(place.folder.join("state/work"))
            .unwrap()
            .count(),
        1
    );
    let _again = place.sources();
    assert_eq!(place.checkouts_left().await, 0);
}

#[tokio::test]
async fn a_repository_of_another_owner_can_be_read() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    let commit = place.release("v1");
    // Only root can give files away; everybody else is the owner, and that is tested above.
    if rustix::process::geteuid().is_root() {
        let owned = std::process::Command::new("chown")
            .args(["-R", "65534", place.repository().to_str().unwrap()])
            .status()
            .unwrap();
        assert!(owned.success());
    }
    let checkout = place
        .sources()
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
    checkout
        .pack(&build("."), &Limits::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_repository_that_says_nothing_is_given_up() {
    let place = Place::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = source(&format!(
        "https://{}/shop.git",
        listener.local_addr().unwrap()
    ));
    let limits = Limits {
        list: Duration::from_millis(700),
        ..Limits::default()
    };
    let begun = tokio::time::Instant::now();
    let error = place
        .sources_with(limits)
        .tags(&silent, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("git was not done"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}
