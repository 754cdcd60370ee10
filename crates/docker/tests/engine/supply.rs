//! Images that are not on the engine: pulled from a real registry, loaded from real archives, and what goes wrong.

use std::path::PathBuf;

use docker::PerformContext;
use domain::{
    effect::{Effect, Failure, Outcome},
    name::{ImageId, PullReference},
    seen::Seen,
    supply::{Archive, ImageSource},
};

use crate::{
    house::{Dying, House, assert_failed},
    registry::Registry,
};

/// An image with a layer of its own: what the engine has of another image is not transferred again.
async fn build(house: &House, version: &str) -> (String, ImageId) {
    let tag = format!("{}:{version}", house.prefix);
    house.build(&tag, &format!("COPY app /{}-{version}\n", house.prefix));
    let id = house.engine.image_id(&tag).await.unwrap().unwrap();
    (tag, id)
}

async fn is_there(house: &House, id: &ImageId) -> bool {
    house.engine.image_id(id.as_str()).await.unwrap().is_some()
}

/// Pushes an image and takes it off the engine; what to pull it by.
async fn pushed(house: &House, registry: &Registry, version: &str) -> (ImageId, PullReference) {
    let (tag, id) = build(house, version).await;
    let remote = format!("{}:{version}", registry.repository(&house.prefix));
    house.docker(&["tag", &tag, &remote]);
    house.docker(&["push", "-q", &remote]);
    let Seen::Known(facts) = house.engine.image_seen(&id).await.unwrap() else {
        panic!("it was just built")
    };
    assert_eq!(facts.digests.len(), 1, "a push makes a registry's digest");
    house.docker(&["rmi", &tag, &remote]);
    assert!(!is_there(house, &id).await);
    (id, facts.digests[0].clone())
}

fn pull(image: &ImageId, reference: &PullReference) -> Effect {
    Effect::PullImage {
        image: image.clone(),
        reference: reference.clone(),
    }
}

fn load(image: &ImageId, archive: &Archive) -> Effect {
    Effect::LoadImage {
        image: image.clone(),
        archive: archive.clone(),
    }
}

fn said(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { said, .. } | Outcome::Unknown { said } => said,
        Outcome::Done => "done",
    }
}

/// A file in a folder that goes with it.
struct File(PathBuf);

impl File {
    fn of(house: &House, image: &str) -> (Self, Archive) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(house.named("image.tar"));
        house.docker(&["save", "-o", path.to_str().unwrap(), image]);
        let archive = Self::archive(&path);
        (Self(path), archive)
    }

    fn archive(path: &std::path::Path) -> Archive {
        let output = std::process::Command::new("sha256sum")
            .arg(path)
            .output()
            .unwrap();
        Archive {
            path: path.to_str().unwrap().to_owned(),
            sha256: String::from_utf8_lossy(&output.stdout)[..64].to_owned(),
            bytes: path.metadata().unwrap().len(),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_missing_image_is_pulled_by_its_digest() {
    let house = House::new().await;
    let registry = Registry::start(&house);
    let (id, reference) = pushed(&house, &registry, "1").await;
    let source = ImageSource::Registry {
        reference: reference.clone(),
    };
    let seen = house.engine.sources(vec![source]).await;
    assert_eq!(seen[0].there, Seen::Known(()));
    for _ in 0..2 {
        assert_eq!(house.perform(&pull(&id, &reference)).await, Outcome::Done);
    }
    assert!(is_there(&house, &id).await);
    house.docker(&["rmi", id.as_str()]);
}

#[tokio::test]
async fn a_copy_in_a_registry_leaves_an_image_the_names_that_it_had() {
    let house = House::new().await;
    let registry = Registry::start(&house);
    let (tag, id) = build(&house, "1").await;
    let repository = registry.repository(&house.prefix);
    let names = async || match house.engine.image_seen(&id).await.unwrap() {
        Seen::Known(facts) => facts.tags,
        seen @ (Seen::Absent | Seen::Unknown(_)) => panic!("{seen:?}"),
    };
    let reference = house.engine.push(&id, &repository, "1").await.unwrap();
    assert_eq!(names().await, std::slice::from_ref(&tag));
    // A name that the site gave it stays.
    let site = format!("{repository}:1");
    house.docker(&["tag", &tag, &site]);
    assert_eq!(
        house.engine.push(&id, &repository, "1").await.unwrap(),
        reference
    );
    assert_eq!(names().await.len(), 2);
    // Without any other, the image would go with it.
    house.docker(&["rmi", &tag, &site]);
    assert_eq!(house.perform(&pull(&id, &reference)).await, Outcome::Done);
    house.engine.push(&id, &repository, "2").await.unwrap();
    assert!(is_there(&house, &id).await);
    house.docker(&["rmi", "-f", id.as_str()]);
}

#[tokio::test]
async fn a_registry_that_is_away_or_has_it_not_is_named() {
    let house = House::new().await;
    let mut registry = Registry::start(&house);
    let (id, reference) = pushed(&house, &registry, "1").await;
    let unknown: PullReference = format!(
        "{}@sha256:{}",
        registry.repository(&house.prefix),
        "0".repeat(64)
    )
    .parse()
    .unwrap();
    let absent = house.perform(&pull(&id, &unknown)).await;
    assert_failed(&absent, Failure::NotSupplied);
    assert!(
        said(&absent).contains("manifest unknown") || said(&absent).contains("not found"),
        "{absent:?}"
    );
    registry.down();
    let sources = [&reference, &unknown].map(|reference| ImageSource::Registry {
        reference: reference.clone(),
    });
    let away = house.engine.sources(sources.to_vec()).await;
    assert!(
        matches!(&away[0].there, Seen::Unknown(why) if why.contains("connection refused")),
        "{away:?}"
    );
    let down = house.perform(&pull(&id, &reference)).await;
    assert_failed(&down, Failure::NotSupplied);
    assert!(said(&down).contains("connection refused"), "{down:?}");
    registry.up();
    let there = house.engine.sources(sources.to_vec()).await;
    assert_eq!(
        (&there[0].there, &there[1].there),
        (&Seen::Known(()), &Seen::Absent)
    );
    registry.damage();
    let damaged = house.perform(&pull(&id, &reference)).await;
    assert_failed(&damaged, Failure::NotSupplied);
    assert!(!is_there(&house, &id).await);
}

#[tokio::test]
async fn what_a_reference_brings_must_be_the_image() {
    let house = House::new().await;
    let registry = Registry::start(&house);
    let (one, _) = pushed(&house, &registry, "1").await;
    let (two, other) = pushed(&house, &registry, "2").await;
    let wrong = house.perform(&pull(&one, &other)).await;
    assert_failed(&wrong, Failure::NotSupplied);
    assert!(said(&wrong).contains("another image"), "{wrong:?}");
    house.docker(&["rmi", two.as_str()]);
}

#[tokio::test]
async fn a_missing_image_is_loaded_from_its_archive() {
    let house = House::new().await;
    let (tag, id) = build(&house, "1").await;
    let (_file, archive) = File::of(&house, id.as_str());
    house.docker(&["rmi", &tag]);
    let source = ImageSource::Archive(archive.clone());
    assert_eq!(
        house.engine.sources(vec![source]).await[0].there,
        Seen::Known(())
    );
    for _ in 0..2 {
        assert_eq!(house.perform(&load(&id, &archive)).await, Outcome::Done);
    }
    assert!(is_there(&house, &id).await);
    house.docker(&["rmi", id.as_str()]);
}

#[tokio::test]
async fn an_archive_that_is_not_what_was_written_is_never_loaded() {
    let house = House::new().await;
    let (tag, id) = build(&house, "1").await;
    let (file, archive) = File::of(&house, id.as_str());
    house.docker(&["rmi", &tag]);
    let whole = std::fs::read(&file.0).unwrap();

    let mut damaged = whole.clone();
    // In both layers: the engine has one of them from another image and does not read it again.
    for quarter in [1, 3] {
        damaged[whole.len() / 4 * quarter] ^= 0xFF;
    }
    std::fs::write(&file.0, &damaged).unwrap();
    let outcome = house.perform(&load(&id, &archive)).await;
    assert_failed(&outcome, Failure::NotSupplied);
    assert!(said(&outcome).contains("checksum"), "{outcome:?}");
    // Even with a checksum that somebody adjusted the engine's own check of the contents stands.
    let adjusted = File::archive(&file.0);
    assert_failed(
        &house.perform(&load(&id, &adjusted)).await,
        Failure::NotSupplied,
    );
    assert!(!is_there(&house, &id).await);

    std::fs::write(&file.0, &whole[..whole.len() / 3]).unwrap();
    let seen = house
        .engine
        .sources(vec![ImageSource::Archive(archive.clone())])
        .await;
    assert!(
        matches!(&seen[0].there, Seen::Unknown(why) if why.contains("damaged")),
        "{seen:?}"
    );
    assert_failed(
        &house.perform(&load(&id, &archive)).await,
        Failure::NotSupplied,
    );

    std::fs::remove_file(&file.0).unwrap();
    let seen = house
        .engine
        .sources(vec![ImageSource::Archive(archive.clone())])
        .await;
    assert_eq!(seen[0].there, Seen::Absent);
    assert_failed(
        &house.perform(&load(&id, &archive)).await,
        Failure::NotSupplied,
    );

    let other = house.image("1").await;
    let (_other, wrong) = File::of(&house, other.as_str());
    let outcome = house.perform(&load(&id, &wrong)).await;
    assert_failed(&outcome, Failure::NotSupplied);
    assert!(said(&outcome).contains("another image"), "{outcome:?}");
}

#[tokio::test]
async fn nothing_is_brought_for_a_claim_that_is_over() {
    let house = House::new().await;
    let (tag, id) = build(&house, "1").await;
    let (_file, archive) = File::of(&house, id.as_str());
    house.docker(&["rmi", &tag]);
    for answers in [0, 1] {
        let claim = Dying(answers.into());
        let over = PerformContext {
            claim: &claim,
            ..house.context(None)
        };
        let performed = house.engine.perform(&load(&id, &archive), &over).await;
        assert_failed(&performed.outcome, Failure::Fenced);
    }
    assert!(!is_there(&house, &id).await);
}
