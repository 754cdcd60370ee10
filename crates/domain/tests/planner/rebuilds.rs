//! Plans that build what is nowhere.

use std::collections::BTreeMap;

use domain::{
    plan::{self, Strategy},
    planner::{self, Blocker, BlockerCode, Proposal, Rebuild, Snapshot, WarningCode},
    seen::Seen,
    source::{Tag, TagsSeen},
    steps::Step,
    supply::{ImageSource, SourceSeen},
    target::Target,
};
use serde_json::json;

use crate::shop::*;

/// The shop with a source, its good images gone, and the commit that the ledger has.
pub(crate) fn rebuildable(commit: Option<&str>) -> Shop {
    let mut shop = Shop::new();
    let mut definition = serde_json::to_value(&shop.application).unwrap();
    definition["source"] = json!({"repository": "/srv/git/shop.git"});
    definition["components"][0]["build"] = json!({});
    definition["components"][1]["build"] = json!({"context": "worker"});
    shop.application = serde_json::from_value(definition).unwrap();
    shop.look.images.insert(image(API_GOOD), Seen::Absent);
    shop.look.images.insert(image(WORKER_GOOD), Seen::Absent);
    shop.good().commit = commit.map(str::to_owned);
    shop
}

pub(crate) fn rebuild(
    shop: &Shop,
    tag: &str,
    confirm_moved_tag: bool,
) -> Result<Proposal, Vec<Blocker>> {
    build(shop, Strategy::Rebuild, tag, confirm_moved_tag)
}

fn build(
    shop: &Shop,
    strategy: Strategy,
    tag: &str,
    confirm_moved_tag: bool,
) -> Result<Proposal, Vec<Blocker>> {
    let tags = TagsSeen {
        tags: vec![Tag {
            name: tag.parse().unwrap(),
            commit: "12".repeat(20).parse().unwrap(),
        }],
        more: false,
    };
    let snapshot = Snapshot {
        application: &shop.application,
        look: &shop.look,
        releases: &shop.releases,
        outages: &shop.outages,
        last: None,
    };
    let wish = Rebuild {
        strategy,
        tags: &tags,
        confirm_moved_tag,
    };
    planner::rebuild(&snapshot, &Target::LastKnownGood, &wish)
}

#[test]
fn a_rebuild_builds_what_it_can_before_anything_else_and_checks_again() {
    let shop = rebuildable(Some("1212121"));
    let version = shop.releases[0].version.clone();
    let plan = rebuild(&shop, &format!("v{version}"), false).unwrap().plan;
    let titles: Vec<String> = plan.steps.iter().map(Step::title).collect();
    assert_eq!(
        titles[..6],
        [
            "check",
            "build api",
            "build worker",
            "check",
            "lock",
            "keep images"
        ]
    );
    assert_eq!(plan.strategy, Strategy::Rebuild);
    assert!(plan.format >= plan::PLAN_FORMAT_REBUILD);
    let source = plan.source.clone().unwrap();
    assert_eq!(source.moved_from, None);
    assert!(
        plan.steps[1]
            .explain(&plan)
            .contains(&format!("from tag v{version} (commit 121212121212)")),
        "{}",
        plan.steps[1].explain(&plan)
    );
    // What was built takes the ledger's place, in the swaps and among the images that are kept.
    let built = [("api".parse().unwrap(), image(77))].into();
    let as_built = plan.as_built(&built);
    assert!(
        as_built
            .swaps_of(&"api".parse().unwrap())
            .all(|swap| swap.image == image(77))
    );
    assert!(as_built.keep.contains(&image(77)) && !as_built.keep.contains(&image(API_GOOD)));
    assert_ne!(as_built.digest(), plan.digest());
    assert_eq!(*plan.as_built(&BTreeMap::new()), plan);
}

#[test]
fn a_missing_image_is_answered_with_the_way_to_build_it() {
    let shop = rebuildable(None);
    let blockers = shop.plan().unwrap_err();
    assert!(
        blockers[0]
            .next_action
            .contains("sternway rollback shop --rebuild --to "),
        "{blockers:?}"
    );
}

/// Building is the last source of a missing image: only of what can not be had in any other way.
#[test]
fn a_quick_plan_builds_only_what_is_nowhere() {
    let mut shop = rebuildable(Some("1212121"));
    let facts = shop.look.images[&image(API_BAD)].clone();
    shop.look.images.insert(image(API_GOOD), facts);
    let tag = format!("v{}", shop.releases[0].version);
    let blockers = shop.plan().unwrap_err();
    assert!(
        planner::may_build(&shop.application, &blockers),
        "{blockers:?}"
    );
    assert!(!planner::may_build(&Shop::new().application, &blockers));
    let proposal = build(&shop, Strategy::Quick, &tag, false).unwrap();
    let plan = &proposal.plan;
    let titles: Vec<String> = plan.steps.iter().map(Step::title).collect();
    assert_eq!(titles[..3], ["check", "build worker", "check"]);
    assert_eq!(plan.strategy, Strategy::Quick);
    assert!(plan.format >= plan::PLAN_FORMAT_REBUILD);
    assert!(plan.supplies.is_empty());
    let codes: Vec<_> = proposal
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect();
    assert!(codes.contains(&WarningCode::ImageBuilt), "{codes:?}");
    // Without its tag the image is missing as before, and both are said.
    let refused = build(&shop, Strategy::Quick, "v9.9.9", false).unwrap_err();
    let codes: Vec<_> = refused.iter().map(|blocker| blocker.code).collect();
    assert!(codes.contains(&BlockerCode::TagMissing) && codes.contains(&BlockerCode::ImageMissing));
    // What somebody else has is brought, and nothing is built.
    let source = SourceSeen {
        source: ImageSource::Registry {
            reference: format!("r/worker@{}", image(WORKER_GOOD)).parse().unwrap(),
        },
        there: Seen::Known(()),
    };
    shop.look.sources.insert(image(WORKER_GOOD), vec![source]);
    let brought = build(&shop, Strategy::Quick, &tag, false).unwrap().plan;
    assert_eq!((brought.source, brought.supplies.len()), (None, 1));
}

#[test]
fn a_moved_tag_is_built_only_when_somebody_confirms_it() {
    let shop = rebuildable(Some("abcdef0123"));
    let tag = format!("v{}", shop.releases[0].version);
    let refused = rebuild(&shop, &tag, false).unwrap_err();
    assert_eq!(refused[0].code, BlockerCode::TagMoved, "{refused:?}");
    let confirmed = rebuild(&shop, &tag, true).unwrap();
    let source = confirmed.plan.source.clone().unwrap();
    assert_eq!(source.moved_from.as_deref(), Some("abcdef0123"));
    assert!(
        confirmed
            .warnings
            .iter()
            .any(|warning| warning.sentence.contains("was moved"))
    );
    // The confirmation is part of what is approved.
    let unmoved = rebuild(&rebuildable(Some("1212121")), &tag, true).unwrap();
    assert_ne!(confirmed.plan.digest(), unmoved.plan.digest());
    let unknown = rebuild(&rebuildable(None), &tag, false).unwrap();
    assert!(
        unknown
            .warnings
            .iter()
            .any(|warning| warning.sentence.contains("is not known"))
    );
}

#[test]
fn a_rebuild_without_a_tag_or_a_source_says_so() {
    let missing = rebuild(&rebuildable(None), "v9.9.9", false).unwrap_err();
    assert_eq!(missing[0].code, BlockerCode::TagMissing);
    let nowhere = rebuild(&Shop::new(), "v9.9.9", false).unwrap_err();
    assert_eq!(nowhere[0].code, BlockerCode::NoSource);
}
