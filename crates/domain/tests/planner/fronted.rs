//! Plans of components behind a balancer.

use domain::{
    plan::{self},
    planner::{Warning, WarningCode},
    specification::{Endpoint, Mounted},
    steps::Step,
    time::Millis,
};

use crate::shop::*;

#[test]
fn behind_a_balancer_each_replica_has_its_server_and_nobody_waits() {
    let mut shop = behind_a_front(|_, _| {});
    shop.application.components.truncate(1);
    let proposal = planned(&shop);
    let servers: Vec<_> = proposal
        .plan
        .swaps
        .iter()
        .map(|swap| swap.server.as_deref())
        .collect();
    assert_eq!(servers, [Some("s1"), Some("s2")]);
    assert_eq!(
        proposal.plan.format,
        plan::PLAN_FORMAT_FRONT,
        "an older binary knows none of its steps"
    );
    assert_eq!(proposal.downtime.expected_ms, Millis(0));
    assert!(
        !proposal
            .plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Switch { .. }))
    );
}

/// What stands in the way of running two versions at once is said, and what serves stops first.
#[test]
fn behind_a_balancer_what_only_one_can_have_stops_first() {
    type Case = (fn(&mut Shop), &'static str);
    let cases: [Case; 5] = [
        (
            |shop| {
                let front = shop.application.components[0].front.as_mut();
                front.unwrap().two_versions = false;
            },
            "does not say that two versions",
        ),
        (
            |shop| shop.application.components[0].overlap = Some(false),
            "`overlap = false`",
        ),
        (
            |shop| shape_of(shop).ports = vec![published(18080)],
            "18080",
        ),
        (
            |shop| {
                let endpoint = Endpoint {
                    ipv4: Some("10.0.0.9".to_owned()),
                    ..Endpoint::default()
                };
                let shape = shape_of(shop);
                shape.networks.insert("shop".to_owned(), endpoint);
            },
            "fixed address 10.0.0.9",
        ),
        (
            |shop| shop.look.containers[0].shape = None,
            "could not be worked out",
        ),
    ];
    for (change, why) in cases {
        let mut shop = behind_a_front(|_, _| {});
        shop.application.components.truncate(1);
        change(&mut shop);
        let proposal = planned(&shop);
        assert!(proposal.downtime.expected_ms > Millis(0), "{why}");
        let said = |warning: &&Warning| warning.code == WarningCode::StoppedAndStarted;
        let warning = proposal.warnings.iter().find(said).unwrap();
        assert!(warning.sentence.contains(why), "{warning:?}");
    }
}

#[test]
fn two_versions_that_write_to_one_place_are_told() {
    let mut shop = behind_a_front(|_, _| {});
    shop.look.containers[0].shape.as_mut().unwrap().mounts = vec![Mounted {
        writable: true,
        ..bind("/srv/shop/data")
    }];
    let proposal = planned(&shop);
    let told = |warning: &Warning| warning.code == WarningCode::SharedWrites;
    assert!(
        proposal.warnings.iter().any(told),
        "{:?}",
        proposal.warnings
    );
}

#[test]
fn a_balancer_that_takes_the_bad_version_for_down_is_in_nobodys_way() {
    let shop = behind_a_front(|_, look| {
        for server in look.servers.values_mut() {
            server.up = false;
        }
    });
    assert_eq!(codes(&shop), []);
}
