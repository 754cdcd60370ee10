//! Keepers and the lock.

use docker::PerformContext;
use domain::{
    effect::{Effect, Failure, Outcome},
    name::ContainerId,
};

use crate::house::{House, assert_failed, image, new_rollback};

#[tokio::test]
async fn a_kept_image_survives_a_clean_up_and_a_tagged_one_does_not() {
    let house = House::new().await;
    let (kept, lost) = (
        format!("{}:kept", house.prefix),
        format!("{}:lost", house.prefix),
    );
    let label = format!("sternway-test={}", house.prefix);
    house.build(&kept, &format!("LABEL {label} which=kept\n"));
    house.build(&lost, &format!("LABEL {label} which=lost\n"));
    let id = house.engine.image_id(&kept).await.unwrap().unwrap();
    let effect = Effect::KeepImage { image: id.clone() };
    for _ in 0..2 {
        assert_eq!(house.perform(&effect).await, Outcome::Done);
    }
    let look = house.look().await.look;
    assert_eq!(look.kept.keys().collect::<Vec<_>>(), [&id]);
    assert!(
        look.containers.is_empty(),
        "a keeper is no part of the application"
    );
    house.docker(&[
        "image",
        "prune",
        "-af",
        "--filter",
        &format!("label={label}"),
    ]);
    assert!(house.engine.image_id(id.as_str()).await.unwrap().is_some());
    assert_eq!(house.engine.image_id(&lost).await.unwrap(), None);
    let keeper = look.kept[&id].clone();
    assert_eq!(
        house
            .perform(&Effect::RemoveContainer { container: keeper })
            .await,
        Outcome::Done
    );
    house.docker(&[
        "image",
        "prune",
        "-af",
        "--filter",
        &format!("label={label}"),
    ]);
    assert_eq!(
        house.engine.image_id(id.as_str()).await.unwrap(),
        None,
        "without its keeper it goes"
    );
}

#[tokio::test]
async fn a_keeper_needs_its_image_and_its_name() {
    let house = House::new().await;
    let absent = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    assert_failed(
        &house.perform(&Effect::KeepImage { image: absent }).await,
        Failure::Missing,
    );
    let id = house.image("1").await;
    let name = format!("sternway-keep-{}-{}", house.prefix, id.short());
    house.docker(&["create", "--name", &name, &image("2")]);
    assert_failed(
        &house.perform(&Effect::KeepImage { image: id }).await,
        Failure::NameTaken,
    );
}

#[tokio::test]
async fn of_eight_who_want_the_lock_one_gets_it() {
    let house = House::new().await;
    let effect = Effect::TakeLock {
        image: house.image("1").await,
    };
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (engine, effect, application) = (
            house.engine.clone(),
            effect.clone(),
            house.application.clone(),
        );
        racers.spawn(async move {
            let rollback = new_rollback();
            let owner = format!("racer {n}");
            let base = PerformContext {
                application: &application,
                rollback,
                fence: crate::house::FENCE,
                step: 1,
                owner: &owner,
                specification: None,
                claim: &crate::house::Living,
            };
            (
                rollback,
                owner.clone(),
                engine.perform(&effect, &base).await.outcome,
            )
        });
    }
    let ended = racers.join_all().await;
    let winners: Vec<_> = ended
        .iter()
        .filter(|(.., outcome)| *outcome == Outcome::Done)
        .collect();
    assert_eq!(winners.len(), 1, "{ended:?}");
    for (.., outcome) in ended
        .iter()
        .filter(|(.., outcome)| *outcome != Outcome::Done)
    {
        assert_failed(outcome, Failure::NameTaken);
    }
    let lock = house.look().await.look.lock.unwrap();
    assert_eq!((lock.rollback, &lock.owner), (winners[0].0, &winners[0].1));
    let again = PerformContext {
        rollback: lock.rollback,
        ..house.context(None)
    };
    assert_eq!(
        house.engine.perform(&effect, &again).await.outcome,
        Outcome::Done,
        "its owner has it already"
    );
    let release = Effect::RemoveContainer {
        container: lock.container,
    };
    assert_eq!(house.perform(&release).await, Outcome::Done);
    assert_eq!(house.look().await.look.lock, None);
}

/// A claim whose holder believes in it for ever, as one does whose machine was paused: only the engine says no.
#[derive(Debug)]
struct Believing;

impl docker::Claim for Believing {
    fn holds(&self) -> bool {
        true
    }

    fn asks_for_lock(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_newer_claim_writes_its_fence_and_the_older_one_changes_nothing_any_more() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &[], &[]);
    let take = Effect::TakeLock {
        image: house.image("1").await,
    };
    let stop = Effect::StopContainer {
        container: id.clone(),
        grace_s: 1,
    };
    let claim = |fence: i64| PerformContext {
        fence: domain::name::Fence(fence),
        claim: &Believing,
        ..house.context(None)
    };
    let perform = async |effect: &Effect, fence: i64| {
        house.engine.perform(effect, &claim(fence)).await.outcome
    };
    assert_failed(&perform(&stop, 5).await, Failure::Fenced);
    assert_eq!(perform(&take, 5).await, Outcome::Done);
    assert_eq!(house.look().await.look.lock.unwrap().fence.unwrap().0, 5);

    // Taken over, twice, once with an answer that was lost.
    for fence in [6, 6, 9] {
        assert_eq!(perform(&take, fence).await, Outcome::Done);
    }
    let lock = house.look().await.look.lock.unwrap();
    assert_eq!((lock.fence.unwrap().0, lock.marks.len()), (9, 2));
    for late in [5, 6, 8] {
        assert_failed(&perform(&stop, late).await, Failure::Fenced);
        assert_failed(&perform(&take, late).await, Failure::Fenced);
    }
    assert!(house.seen(&id).await.unwrap().runs());
    assert_eq!(perform(&stop, 9).await, Outcome::Done);

    // Over: the lock goes first, then its marks; without it nothing of this rollback is let through.
    let first = lock.container.clone();
    while let Some(lock) = house.look().await.look.lock {
        let release = Effect::RemoveContainer {
            container: lock.container,
        };
        assert_eq!(perform(&release, 9).await, Outcome::Done);
    }
    assert!(house.inspect_fails(&first));
    for fence in [5, 9] {
        assert_failed(&perform(&stop, fence).await, Failure::Fenced);
    }
    let left = house.docker(&[
        "ps",
        "-aq",
        "--filter",
        &format!("name=sternway-fence-{}", house.prefix),
    ]);
    assert_eq!(left.trim(), "");
}

#[tokio::test]
async fn a_lock_that_is_not_ours_has_no_rollback() {
    let house = House::new().await;
    let id: ContainerId = house
        .docker(&[
            "create",
            "--name",
            &format!("sternway-lock-{}", house.prefix),
            &image("1"),
        ])
        .parse()
        .unwrap();
    let lock = house.look().await.look.lock.unwrap();
    assert_eq!(
        (lock.container, lock.rollback.0.is_nil(), lock.stale),
        (id, true, false)
    );
    assert_failed(
        &house
            .perform(&Effect::TakeLock {
                image: house.image("1").await,
            })
            .await,
        Failure::NameTaken,
    );
}
