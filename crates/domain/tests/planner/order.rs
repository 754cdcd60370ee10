//! What comes before what, and which binary can execute it.

use domain::{
    engine_look::ImageFacts,
    ledger::LastRollback,
    name::{ComponentName, RollbackId, Version},
    plan::{self, Plan},
    planner::WarningCode,
    seen::Seen,
    steps::{Act, Step},
    target::Target,
    time::Millis,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    pins::unnamed,
    rebuilds::{rebuild, rebuildable},
    shop::*,
};

#[test]
fn a_target_that_runs_is_a_no_op() {
    let shop = Shop::but(|shop| shop.target = version("1.5.0"));
    let proposal = planned(&shop);
    assert!(proposal.plan.changes_nothing() && proposal.plan.swaps.is_empty());
    assert_eq!(proposal.plan.settled.len(), 3);
    assert_eq!(proposal.downtime.expected_ms, Millis(0));
}

#[test]
fn every_switch_comes_after_every_creation_and_the_proof_after_all() {
    let steps = planned(&Shop::new()).plan.steps;
    let both = |act| Step::Wave {
        act,
        components: vec!["api".parse().unwrap(), "worker".parse().unwrap()],
    };
    let due = vec![
        Step::Check,
        Step::Lock,
        Step::Keep,
        Step::Capture,
        both(Act::Create),
        both(Act::Switch),
        Step::Prove,
        Step::Record,
        Step::Retire,
    ];
    assert_eq!(steps, due);
}

/// What waits for another through a third, which stays as it is, waits all the same.
#[test]
fn who_needs_another_through_a_third_comes_after_it() {
    let name = |name: &str| -> ComponentName { name.parse().unwrap() };
    let mut shop = Shop::new();
    let mut third = shop.application.components[0].clone();
    third.name = name("cache");
    third.after = vec![name("api")];
    shop.application.components[1].after = vec![name("cache")];
    shop.application.components.push(third);
    let part = shop.good().components[&name("api")].clone();
    for release in &mut shop.releases {
        release.components.insert(name("cache"), part.clone());
    }
    shop.look
        .containers
        .push(container(0x77, "shop-cache-1", "cache", 1, API_GOOD));
    let plan = shop.plan().unwrap().plan;
    assert!(plan.settled.iter().any(|at| at.component == name("cache")));
    let switched: Vec<&Step> = plan
        .steps
        .iter()
        .filter(|step| step.title().starts_with("switch"))
        .collect();
    let due = ["api", "worker"].map(|one| Act::Switch.of(name(one)));
    assert_eq!(switched, due.iter().collect::<Vec<_>>());
}

/// An older binary executes what it can and never claims what it can not.
#[test]
fn a_plans_format_is_the_oldest_that_can_execute_it() {
    let format = |change: &dyn Fn(&mut Shop)| {
        let shop = Shop::but(|shop| {
            change(shop);
            shop.application.components.truncate(1);
        });
        planned(&shop).plan.format
    };
    assert_eq!(format(&|_| {}), plan::PLAN_FORMAT_QUICK);
    let two = |shop: &mut Shop| {
        shop.application.approval = true;
        shop.application.approvers = 2;
    };
    assert_eq!(format(&two), plan::PLAN_FORMAT_TWO);
    let undo = |shop: &mut Shop| {
        let id = RollbackId(Uuid::from_u128(7));
        shop.last = Some(LastRollback {
            id,
            from: Some("1.4.2".parse().unwrap()),
            to: "1.5.0".parse().unwrap(),
            hold_of_others: None,
        });
        shop.target = Target::Undo(id);
    };
    assert_eq!(format(&undo), plan::PLAN_FORMAT_UNDO);
    let overridden = |shop: &mut Shop| {
        let compose = json!({"folder": "/srv/shop", "pin": "override"});
        shop.application.compose = serde_json::from_value(compose).unwrap();
        shop.look.project = Some(unnamed(None));
    };
    assert_eq!(format(&overridden), plan::PLAN_FORMAT_OVERRIDE);
    let follows = |shop: &mut Shop| {
        *shop = behind_a_front(|_, _| {});
        let front = shop.application.components[0].front.as_mut().unwrap();
        front.follow = true;
    };
    assert_eq!(format(&follows), plan::PLAN_FORMAT_FOLLOW);
    let mut shop = rebuildable(Some("1212121"));
    shop.application.components.truncate(1);
    let tag = format!("v{}", shop.releases[0].version);
    let built = rebuild(&shop, &tag, false).unwrap().plan;
    assert_eq!(built.format, plan::PLAN_FORMAT_REBUILD);
}

/// Five warnings of the same hide the sixth: components of one reason are told in one sentence.
#[test]
fn components_that_are_stopped_for_one_reason_are_told_together() {
    let proposal = planned(&Shop::but(|shop| {
        let all = shop.look.containers.iter_mut();
        for container in all {
            container.env = [("affinity:container".to_owned(), "=1".to_owned())].into();
        }
    }));
    let told: Vec<&str> = proposal
        .warnings
        .iter()
        .filter(|warning| warning.code == WarningCode::StoppedAndStarted)
        .map(|warning| warning.sentence.as_str())
        .collect();
    let due = "api and worker are each stopped and started, not handed over: what it asks for could not be worked out";
    assert_eq!(told, [due]);
    let of_compose = proposal
        .warnings
        .iter()
        .any(|warning| warning.code == WarningCode::EnvironmentDiffers);
    assert!(!of_compose, "{:?}", proposal.warnings);
}

/// Who needs another component changes over after it, and is created with it all the same.
#[test]
fn who_comes_after_another_waits_for_its_wave() {
    let plan = one_after_the_other(Shop::new()).plan().unwrap().plan;
    assert_eq!(
        plan.format,
        plan::PLAN_FORMAT_WAVES,
        "an older binary knows no waves"
    );
    let alone = |act: Act, name: &str| act.of(name.parse().unwrap());
    let due = [
        Act::Create
            .of_all(vec!["api".parse().unwrap(), "worker".parse().unwrap()])
            .unwrap(),
        alone(Act::Switch, "api"),
        alone(Act::Switch, "worker"),
    ];
    assert_eq!(plan.steps[4..7], due);
    // A circle, which no checked definition has, is walked one by one.
    let mut circle = one_after_the_other(Shop::new());
    circle.application.components[0].after = vec!["worker".parse().unwrap()];
    let steps = circle.plan().unwrap().plan.steps;
    assert_eq!(steps[5..7], due[1..]);
}

#[test]
fn an_image_that_can_be_had_is_brought_before_anything_is_created() {
    let shop = Shop::but(|shop| missing(shop, Seen::Known(())));
    let proposal = planned(&shop);
    let plan = &proposal.plan;
    assert_eq!(
        plan.steps[..4],
        [Step::Check, Step::Lock, Step::Supply, Step::Keep]
    );
    let supply = &plan.supplies[0];
    assert_eq!((&supply.image, plan.supplies.len()), (&image(API_GOOD), 1));
    assert_eq!(supply.sources, [registry()]);
    assert_eq!(supply.architecture.as_deref(), Some("amd64"));
    assert!(
        proposal
            .warnings
            .iter()
            .any(|warning| warning.sentence.contains("is brought from the registry")),
        "{:?}",
        proposal.warnings
    );
    assert!(plan.steps[2].explain(plan).contains("goes on serving"));
    let stored: Plan = serde_json::from_str(&plan.bytes()).unwrap();
    assert_eq!(stored, *plan);
}

#[test]
fn a_held_release_is_never_the_last_known_good() {
    let shop = Shop::but(|shop| {
        shop.target = Target::LastKnownGood;
        shop.releases.push(release("1.3.0", 0, true, 0xC1, 0xC2));
        shop.good().hold = Some("bad".to_owned());
        for number in [0xC1, 0xC2] {
            let facts = ImageFacts {
                tags: Vec::new(),
                digests: Vec::new(),
                bytes: 1,
                architecture: "amd64".to_owned(),
            };
            shop.look.images.insert(image(number), Seen::Known(facts));
        }
    });
    assert_eq!(planned(&shop).plan.to, "1.3.0".parse::<Version>().unwrap());
}
