//! Which container is whose replica, and what moves with it.

use domain::{
    engine_look::{Container, ContainerState, Mark},
    name::{Fence, RollbackId},
    plan::{self},
    planner::{BlockerCode, WarningCode},
    specification::Shape,
    steps::Step,
    target::Target,
};
use serde_json::json;
use uuid::Uuid;

use crate::shop::*;

/// (name, running) of the containers of one place, and which of them is taken for the replica.
#[test]
fn what_an_earlier_rollback_left_does_not_hide_the_replica() {
    let (own, next, former) = (
        "shop-worker-1".to_owned(),
        format!("shop-worker-1.next-{}", short()),
        format!("shop-worker-1.former-{}", short()),
    );
    let table = [
        (vec![(&own, true), (&next, true)], &own),
        (vec![(&own, false), (&next, true)], &next),
        (vec![(&own, false), (&next, false)], &own),
        (vec![(&next, false), (&former, false)], &former),
        (vec![(&former, true), (&next, false)], &former),
    ];
    for (found, replica) in table {
        let shop = Shop::but(|shop| {
            let worker = shop.look.containers.pop().unwrap();
            shop.look.names.remove(&worker.name);
            for (number, (name, runs)) in (50..).zip(&found) {
                let state = if *runs {
                    ContainerState::Running
                } else {
                    ContainerState::Exited
                };
                let mark = Some(Mark {
                    rollback: RollbackId(Uuid::from_u128(0xEA)),
                    fence: Fence(1),
                    replaces: id(3),
                });
                shop.add(Container {
                    id: id(number),
                    name: (*name).clone(),
                    state,
                    mark,
                    ..worker.clone()
                });
            }
        });
        let proposal = planned(&shop);
        let swap = proposal
            .plan
            .swaps
            .iter()
            .find(|swap| swap.component.as_str() == "worker")
            .unwrap();
        let chosen = shop
            .look
            .containers
            .iter()
            .find(|container| container.id == swap.former)
            .unwrap();
        assert_eq!(&chosen.name, replica, "{found:?}");
        assert_eq!(
            (swap.name.as_str(), swap.leftovers.len()),
            ("shop-worker-1", 1),
            "{found:?}"
        );
        let told = proposal.warnings.iter();
        let told = told.filter(|warning| warning.code == WarningCode::Leftover);
        assert_eq!(told.count(), 1, "{:?}", proposal.warnings);
    }
}

#[test]
fn a_replica_of_the_target_under_an_interim_name_is_not_settled() {
    let shop = Shop::but(|shop| {
        shop.look.containers[2].image = image(WORKER_GOOD);
        shop.rename(2, &format!("shop-worker-1.next-{}", short()));
    });
    let plan = planned(&shop).plan;
    assert!(plan.settled.is_empty());
    assert_eq!(plan.swaps[2].name, "shop-worker-1");
}

#[test]
fn a_name_that_only_looks_interim_is_a_name() {
    for name in [
        "shop.next-door",
        "x.former-0123456789a",
        "x.next-0123456789AB",
        ".next-0123456789ab",
    ] {
        assert_eq!(plan::base_of_interim(name), None, "{name}");
    }
    assert_eq!(
        plan::base_of_interim("a.next-b.former-0123456789ab"),
        Some("a.next-b")
    );
}

#[test]
fn with_a_mixture_running_nothing_is_previous() {
    let shop = Shop::but(|shop| {
        shop.target = Target::Previous;
        shop.look.containers[0].image = image(API_GOOD);
    });
    assert_eq!(codes(&shop), [BlockerCode::NoPrevious]);
}

/// The shop with side-cars: the worker shares with the first API, and a mirror of the target's own image with the
/// worker; both stand before the API in the definition.
fn with_side_cars() -> Shop {
    Shop::but(|shop| {
        shop.application = serde_json::from_value(json!({
            "name": "shop", "environment": "production", "project": "shop",
            "components": [{"name": "mirror"}, {"name": "worker"}, {"name": "api"}],
        }))
        .unwrap();
        let mut mirror = container(4, "shop-mirror-1", "mirror", 1, WORKER_GOOD);
        mirror.joins = vec![id(3)];
        shop.add(mirror);
        shop.look.containers[2].joins = vec![id(1)];
        let part = shop.good().components[&"worker".parse().unwrap()].clone();
        shop.good()
            .components
            .insert("mirror".parse().unwrap(), part);
    })
}

#[test]
fn a_side_car_moves_with_what_it_shares_with_and_after_it() {
    let plan = planned(&with_side_cars()).plan;
    let moved: Vec<&str> = plan.swaps.iter().map(|swap| swap.name.as_str()).collect();
    assert_eq!(
        moved,
        ["shop-api-1", "shop-api-2", "shop-worker-1", "shop-mirror-1"]
    );
    assert!(
        plan.settled.is_empty(),
        "the mirror's image is right and its network would be dead"
    );
    let mirror = plan.swaps.last().unwrap();
    assert_eq!(
        (&mirror.joins, &mirror.image),
        (&vec![id(3)], &mirror.former_image)
    );
    let order: Vec<String> = plan.steps.iter().map(Step::title).collect();
    let words = [
        "create api",
        "create worker",
        "create mirror",
        "switch api",
        "switch worker",
        "switch mirror",
    ];
    assert_eq!(order[4..10], words, "{order:?}");
    let side_cars: Vec<&str> = plan
        .side_cars_of(&plan.swaps[0])
        .iter()
        .map(|swap| swap.name.as_str())
        .collect();
    assert_eq!(
        side_cars,
        ["shop-mirror-1", "shop-worker-1"],
        "the outermost stops first"
    );
    assert!(plan.side_cars_of(&plan.swaps[1]).is_empty());
}

#[test]
fn a_side_car_whose_parent_stays_is_not_touched() {
    let shop = Shop::but(|shop| {
        shop.look.containers[2].joins = vec![id(1)];
        for container in &mut shop.look.containers {
            container.image = image(if container.component.as_str() == "api" {
                API_GOOD
            } else {
                WORKER_BAD
            });
        }
    });
    let plan = planned(&shop).plan;
    let moved: Vec<&str> = plan.swaps.iter().map(|swap| swap.name.as_str()).collect();
    assert_eq!(moved, ["shop-worker-1"]);
    assert!(plan.swaps[0].joins.is_empty());
}

#[test]
fn a_stranger_on_a_replaced_network_is_told_of() {
    let shop = Shop::but(|shop| {
        shop.look.guests.insert("sniffer".to_owned(), id(1));
        shop.look.guests.insert("elsewhere".to_owned(), id(77));
    });
    let warnings = planned(&shop).warnings;
    assert!(
        warnings.iter().any(|said| said
            .sentence
            .starts_with("sniffer shares the network of shop-api-1")),
        "{warnings:?}"
    );
    assert!(
        !warnings
            .iter()
            .any(|said| said.sentence.contains("elsewhere"))
    );
}

/// Two containers by name, each with a port of its own: the record is of one of them, and each keeps its place.
#[test]
fn a_replica_with_a_name_keeps_its_port() {
    let shop = Shop::but(|shop| {
        shop.application.project = None;
        for (component, names) in shop
            .application
            .components
            .iter_mut()
            .zip([&["shop-api-1", "shop-api-2"][..], &["shop-worker-1"]])
        {
            component.containers = names.iter().map(|name| (*name).to_owned()).collect();
        }
        shape_of(shop).ports = vec![published(18080)];
        for (at, port) in [(0, 18080), (1, 18081)] {
            let ports = vec![published(port)];
            shop.look.containers[at].live.ports = ports.clone();
            shop.look.containers[at].shape = Some(Shape {
                ports,
                ..Shape::default()
            });
        }
    });
    let proposal = planned(&shop);
    assert!(!warned(&proposal).contains(&WarningCode::SettingsDiffer));
    let ports = proposal.plan.swaps.iter().map(|swap| swap.ports.clone());
    let ports: Vec<_> = ports.collect();
    assert_eq!(
        ports,
        [vec![published(18080)], vec![published(18081)], vec![]]
    );
}
