//! What a plan says, and that it is stable to the byte.

use std::collections::BTreeMap;

use domain::{
    engine_look::ContainerState,
    plan::{self, Plan},
    planner::WarningCode,
    seen::Seen,
    specification::{Endpoint, NetworkMode, Shape},
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use crate::shop::*;

#[test]
fn a_difference_is_said_in_sentences() {
    let old = planned(&Shop::new()).plan;
    let table: [(Shop, &str); 5] = [
        (
            Shop::but(|shop| shop.target = version("1.5.0")),
            "the target was 1.4.2, now it is 1.5.0",
        ),
        (
            Shop::but(|shop| shop.releases[1].version = "1.5.1".parse().unwrap()),
            "1.5.0 ran, now 1.5.1 runs",
        ),
        (
            Shop::but(|shop| shop.application.watch_window_s = 60),
            "the application's definition was changed",
        ),
        (
            Shop::but(|shop| shop.add(container(4, "shop-api-3", "api", 3, API_BAD))),
            "container shop-api-3 (000000000004) is to be replaced as well",
        ),
        (
            Shop::but(|shop| shop.good().deployment = Uuid::nil()),
            "the ledger or the images on the engine were changed",
        ),
    ];
    for (shop, line) in table {
        let lines = plan::difference(&old, &planned(&shop).plan);
        assert!(lines.iter().any(|said| said == line), "{line}: {lines:?}");
    }
    assert_eq!(plan::difference(&old, &old), Vec::<String>::new());
}

/// Approvals are bound to these bytes: when they change, the plan format must.
#[test]
fn the_digest_of_a_plan_is_stable() {
    let two = planned(&Shop::new()).plan;
    assert_eq!(two.format, plan::PLAN_FORMAT_WAVES);
    let one = planned(&Shop::but(|shop| shop.application.components.truncate(1))).plan;
    assert_eq!(one.format, plan::PLAN_FORMAT_QUICK);
    let digests = [two.digest(), one.digest()];
    assert_eq!(
        digests.each_ref().map(|digest| digest.as_str()),
        [
            "6ce59f7aa5c01235608d9f1674d6bc7024204582fd8a95de14da722f9fbdac8c",
            "8177cf5d28465c179ea2573c4385408e102f4b7f8ba550d39ddc398ab37025ba",
        ]
    );
}

proptest! {
    #[test]
    fn a_plan_is_the_same_whatever_the_order_of_what_is_known(seed in any::<[u8; 8]>()) {
        let mut shop = Shop::new();
        let due = planned(&shop).plan.digest();
        let turn = usize::from(seed[0]);
        shop.look.containers.rotate_left(turn % 3);
        shop.releases.rotate_left(usize::from(seed[1]) % 2);
        prop_assert_eq!(planned(&shop).plan.digest(), due);
    }

    #[test]
    fn each_replica_is_swapped_or_settled_once(states in proptest::collection::vec((any::<bool>(), any::<bool>()), 3)) {
        let shop = Shop::but(|shop| {
            for (found, (good, runs)) in shop.look.containers.iter_mut().zip(&states) {
                let worker = found.component.as_str() == "worker";
                found.image = image(match (worker, good) {
                    (false, true) => API_GOOD,
                    (false, false) => API_BAD,
                    (true, true) => WORKER_GOOD,
                    (true, false) => WORKER_BAD,
                });
                found.state = if *runs { ContainerState::Running } else { ContainerState::Exited };
            }
        });
        let plan: Plan = planned(&shop).plan;
        prop_assert_eq!(plan.swaps.len() + plan.settled.len(), 3);
        let settled = states.iter().filter(|(good, runs)| *good && *runs).count();
        prop_assert_eq!(plan.settled.len(), settled);
        let text = plan.bytes();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}

#[test]
fn what_is_not_known_of_the_disk_and_the_version_is_said() {
    let shop = Shop::but(|shop| {
        shop.look.engine.disk_free = Seen::Unknown("it is another host's".to_owned());
    });
    // Nothing here publishes a port that could be handed over.
    let told = |shop: &Shop| {
        let mut told = warned(&planned(shop));
        told.retain(|code| *code != WarningCode::StoppedAndStarted);
        told
    };
    assert_eq!(
        told(&shop),
        [WarningCode::DiskUnknown, WarningCode::VersionNotAsked]
    );
    let asked = Shop::but(|shop| {
        let endpoint = json!({"port": 8080, "path": "/version"});
        shop.application.components[0].version_endpoint = serde_json::from_value(endpoint).unwrap();
    });
    assert_eq!(told(&asked), []);
}

/// Settings that differ are named with both sides, lists by what one side has alone, commands only by what they are for.
#[test]
fn settings_that_differ_are_named_once() {
    let shop = Shop::but(|shop| {
        let now = Shape {
            network: NetworkMode::Named("shop_default".to_owned()),
            ports: vec![published(18080)],
            mounts: vec![bind("/srv/new")],
            own_command: true,
            ..Shape::default()
        };
        let then = Shape {
            network: NetworkMode::Named("shop_default".to_owned()),
            networks: [("metrics".to_owned(), Endpoint::default())].into(),
            ports: vec![published(18081)],
            mounts: vec![bind("/srv/old")],
            own_command: true,
            user: Some("1000".to_owned()),
            ..Shape::default()
        };
        *shape_of(shop) = then;
        let print = |print: &str| Some([("command".to_owned(), print.to_owned())].into());
        shop.part().specification.as_mut().unwrap().commands = print("aa");
        for container in &mut shop.look.containers[..2] {
            container.shape = Some(now.clone());
            container.commands = print("bb");
        }
    });
    let proposal = planned(&shop);
    let told = proposal.warnings.iter();
    let told: Vec<&str> = told
        .filter(|warning| warning.code == WarningCode::SettingsDiffer)
        .map(|warning| warning.sentence.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "api goes back to the settings that 1.4.2 ran with, which are not those of now: \
          ports 18081→8080/tcp then, 18080→8080/tcp now; mounts /srv/old:/conf:ro then, /srv/new:/conf:ro now; \
          networks with metrics; user 1000 then, the default now; another command"
        ]
    );
}

#[test]
fn settings_that_are_the_same_or_not_known_are_not_named() {
    let same = Shop::but(|shop| {
        *shape_of(shop) = Shape {
            ports: vec![published(18080)],
            ..Shape::default()
        };
        let shape = shape_of(shop).clone();
        shop.part().specification.as_mut().unwrap().commands = Some(BTreeMap::new());
        shop.look.containers[0].shape = Some(shape.clone());
        shop.look.containers[1].shape = Some(shape);
    });
    assert!(!warned(&planned(&same)).contains(&WarningCode::SettingsDiffer));
}
