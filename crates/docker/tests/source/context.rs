//! What is sent to an engine of real commits.

use std::{collections::BTreeMap, fs::File, os::unix::fs::symlink, path::Path};

use docker::{Checkout, Context, Limits, SourceKind};

use crate::place::{Place, build, tag};

async fn checkout(place: &Place) -> Checkout {
    let commit = place.release("v1");
    place
        .sources()
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap()
}

async fn pack(checkout: &Checkout, context: &str) -> Context {
    checkout
        .pack(&build(context), &Limits::default())
        .await
        .unwrap()
}

/// Path, mode and target of a link or content of a file.
fn entries(checkout: &Checkout) -> BTreeMap<String, (u32, String)> {
    let tar = checkout.tree().parent().unwrap().join("context.tar");
    let mut archive = tar::Archive::new(File::open(tar).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.mtime().unwrap()),
            (0, 1_772_366_400),
            "{path}"
        );
        let mode = header.mode().unwrap();
        let mut text = String::new();
        match entry.link_name().unwrap() {
            Some(to) => to.to_str().unwrap().clone_into(&mut text),
            None => drop(std::io::Read::read_to_string(&mut entry, &mut text).unwrap()),
        }
        found.insert(path, (mode, text));
    }
    found
}

#[tokio::test]
async fn the_context_is_what_the_ignore_file_lets_in() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    place.write(".dockerignore", "*\n!src\nsrc/*.log\n");
    place.write("src/a.rs", "fn main() {}");
    place.write("src/a.log", "noise");
    place.write("secret", "hunter2");
    let checkout = checkout(&place).await;
    let context = pack(&checkout, ".").await;
    let found = entries(&checkout);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, [".dockerignore", "Dockerfile", "src/", "src/a.rs"]);
    assert_eq!(context.files, 4);
}

#[tokio::test]
async fn modes_and_links_are_kept_and_the_umask_is_not() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    place.write("bin/run", "run");
    place.executable("bin/run");
    symlink("bin/run", place.repository().join("link")).unwrap();
    symlink("/etc/passwd", place.repository().join("outside")).unwrap();
    let checkout = checkout(&place).await;
    pack(&checkout, ".").await;
    let found = entries(&checkout);
    assert_eq!(found["bin/run"], (0o755, "run".to_owned()));
    assert_eq!(found["Dockerfile"].0, 0o644);
    assert_eq!(found["bin/"].0, 0o755);
    assert_eq!(found["link"], (0o777, "bin/run".to_owned()));
    assert_eq!(
        found["outside"],
        (0o777, "/etc/passwd".to_owned()),
        "a link, not what it leads to"
    );
}

#[tokio::test]
async fn the_same_commit_gives_the_same_bytes() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    for name in ["z", "a", "m/1", "m/0"] {
        place.write(name, name);
    }
    let commit = place.release("v1");
    let sources = place.sources();
    let one = sources
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
    let two = sources
        .checkout(&place.source, &tag("v1"), &commit)
        .await
        .unwrap();
    pack(&one, ".").await;
    pack(&two, ".").await;
    let bytes = |checkout: &Checkout| {
        std::fs::read(checkout.tree().parent().unwrap().join("context.tar")).unwrap()
    };
    assert_eq!(bytes(&one), bytes(&two));
}

#[tokio::test]
async fn a_context_stays_in_its_folder() {
    let place = Place::new();
    place.write("services/api/Dockerfile", "FROM scratch\n");
    place.write("outside", "x");
    symlink("/etc", place.repository().join("services/etc")).unwrap();
    let checkout = checkout(&place).await;
    pack(&checkout, "services/api").await;
    assert_eq!(entries(&checkout).len(), 1);
    for (context, said) in [
        ("services/etc", "there is no folder `services/etc`"),
        ("services/web", "there is no folder `services/web`"),
        (
            "services",
            "there is no `Dockerfile` in the context `services`",
        ),
    ] {
        let error = checkout
            .pack(&build(context), &Limits::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), SourceKind::Unfit);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn what_could_not_be_built_as_it_was_is_refused() {
    let place = Place::new();
    place.write("Dockerfile", "FROM scratch\n");
    place.write(
        "model.bin",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    );
    let error = checkout(&place)
        .await
        .pack(&build("."), &Limits::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`model.bin` is in git's large file storage"),
        "{error}"
    );
    std::fs::remove_file(place.repository().join("model.bin")).unwrap();
    place.write(".dockerignore", "[a-");
    let error = checkout(&place)
        .await
        .pack(&build("."), &Limits::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`[a-` is no pattern"), "{error}");
    std::fs::remove_file(place.repository().join(".dockerignore")).unwrap();
    place.write("big", &"x".repeat(2 << 20));
    let checkout = checkout(&place).await;
    let small = Limits {
        tree_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = checkout.pack(&build("."), &small).await.unwrap_err();
    assert!(error.to_string().contains("more than 1 MiB"), "{error}");
    assert!(Path::new(&checkout.tree()).exists());
}
