//! What is pinned where, and what is said when nothing can be.

use std::collections::BTreeMap;

use domain::{
    compose::{Listing, PinFile, PinState, ProjectLook, ProjectRead, Service},
    plan::{self},
    planner::Proposal,
    seen::Seen,
    specification::Shape,
    steps::{Act, Step},
};
use serde_json::json;

use crate::shop::*;

/// A project that Compose reads, with the version in a file; `reproduced` and the images are a test's to choose.
fn project(value: Option<&str>, images: [&str; 2], reproduced: bool) -> ProjectLook {
    let service = |image: &str| Service {
        hash: "h".to_owned(),
        image: Some(image.to_owned()),
        image_id: None,
        needs: Vec::new(),
        reproduced,
    };
    let names = ["api", "worker"].map(|name| name.parse().unwrap());
    let read = ProjectRead {
        compose: "docker-compose 1.29.2".to_owned(),
        services: names.into_iter().zip(images.map(service)).collect(),
    };
    let file = PinFile {
        path: "/srv/shop/.env".to_owned(),
        value: value.map(str::to_owned),
        state: PinState::Free,
    };
    ProjectLook {
        read: Seen::Known(read),
        file: Seen::Known(file),
        listing: None,
    }
}

fn pinning(look: ProjectLook) -> Proposal {
    planned(&Shop::but(|shop| {
        let compose = json!({"folder": "/srv/shop", "pin": {"env": "VERSION"}});
        shop.application.compose = serde_json::from_value(compose).unwrap();
        shop.look.project = Some(look);
        for (name, part) in &mut shop.releases[0].components {
            part.reference = format!("registry:5000/{name}:1.4.2-alpine");
        }
    }))
}

const IMAGES: [&str; 2] = [
    "registry:5000/api:sternway-asks-alpine",
    "registry:5000/worker:sternway-asks-alpine",
];

#[test]
fn the_value_that_is_pinned_gives_the_ledgers_images() {
    let proposal = pinning(project(Some("1.5.0"), IMAGES, true));
    let planned = proposal.plan.project.clone().unwrap();
    let pin = planned.pin.unwrap();
    assert_eq!(
        (pin.path.as_str(), pin.from.as_deref(), pin.to.as_deref()),
        ("/srv/shop/.env", Some("1.5.0"), Some("1.4.2"))
    );
    assert_eq!((planned.understood.len(), planned.drift.len()), (2, 0));
    let at = |step: &Step| {
        proposal
            .plan
            .steps
            .iter()
            .position(|own| own == step)
            .unwrap()
    };
    let creates = |step: &Step| {
        matches!(
            step,
            Step::Wave {
                act: Act::Create,
                ..
            }
        )
    };
    let first = proposal.plan.steps.iter().position(creates).unwrap();
    assert_eq!(at(&Step::Pin) + 1, first);
    assert!(at(&Step::Lock) < at(&Step::Pin));
    let said = Step::Pin.explain(&proposal.plan);
    assert!(said.contains("VERSION=1.4.2 into /srv/shop/.env"), "{said}");
}

#[test]
fn what_can_not_be_pinned_is_said_and_blocks_nothing() {
    let other = [
        "registry:5000/api:sternway-asks-alpine",
        "other/worker:sternway-asks",
    ];
    let mut looks = vec![
        (
            project(Some("1.5.0"), other, true),
            "the image registry:5000/worker:1.4.2-alpine",
        ),
        (
            project(Some("x"), ["api:1", "worker:1"], true),
            "no image that goes back is named by it",
        ),
        (
            project(Some("1.5.0"), IMAGES, false),
            "set variables in their own shell",
        ),
    ];
    let mut unreadable = project(None, IMAGES, true);
    unreadable.file = Seen::Unknown("/srv/shop/.env: permission denied".to_owned());
    looks.push((unreadable, "permission denied"));
    let mut moved = project(Some("1.5.0"), IMAGES, true);
    moved.read = Seen::Unknown("the project's folder /srv/shop is not there".to_owned());
    looks.push((moved, "is not there"));
    for (look, expected) in looks {
        let proposal = pinning(look);
        let warnings = sentences(&proposal);
        assert!(warnings.contains(expected), "{expected}: {warnings}");
        assert!(
            proposal.plan.steps.contains(&Step::Pin),
            "it is noted at the end as well"
        );
    }
}

#[test]
fn who_shares_the_memory_of_a_container_that_is_made_anew_is_named() {
    let sharing = |mode: String| {
        planned(&Shop::but(|shop| {
            let compose = json!({"folder": "/srv/shop", "pin": {"env": "VERSION"}});
            shop.application.compose = serde_json::from_value(compose).unwrap();
            shop.look.project = Some(project(Some("1.5.0"), IMAGES, true));
            for (name, part) in &mut shop.releases[0].components {
                part.reference = format!("registry:5000/{name}:1.4.2-alpine");
            }
            let worker = shop.look.containers.last_mut().unwrap();
            let mut shape = Shape::default();
            shape.privileges.ipc_mode = Some(mode);
            worker.shape = Some(shape);
        }))
    };
    let said = "worker shares the memory of a container that is made anew";
    let proposal = sharing(format!("container:{}", id(1)));
    assert!(sentences(&proposal).contains(said), "{proposal:?}");
    let understood = proposal.plan.project.unwrap().understood;
    assert_eq!(understood, ["api".parse().unwrap()]);
    for calm in [format!("container:{}", id(99)), "private".to_owned()] {
        let proposal = sharing(calm);
        assert!(!sentences(&proposal).contains(said));
        assert_eq!(proposal.plan.project.unwrap().understood.len(), 2);
    }
}

#[test]
fn what_up_leaves_as_it_comes_back_is_said() {
    let with = |reproduced: bool, user: &str| {
        planned(&Shop::but(|shop| {
            let compose = json!({"folder": "/srv/shop", "pin": {"env": "VERSION"}});
            shop.application.compose = serde_json::from_value(compose).unwrap();
            shop.look.project = Some(project(Some("1.5.0"), IMAGES, reproduced));
            shape_of(shop).user = Some("1000".to_owned());
            let mut now = shape_of(shop).clone();
            now.user = Some(user.to_owned());
            for container in &mut shop.look.containers[..2] {
                container.shape = Some(now.clone());
            }
        }))
    };
    let said = "`up` leaves the settings as they come back";
    assert!(sentences(&with(true, "1001")).contains(said));
    assert!(!sentences(&with(true, "1000")).contains(said));
    assert!(
        !sentences(&with(false, "1001")).contains(said),
        "it makes them anew"
    );
}

fn overriding(look: ProjectLook, digests: &[&str]) -> Proposal {
    planned(&Shop::but(|shop| {
        let compose = json!({"folder": "/srv/shop", "pin": "override"});
        shop.application.compose = serde_json::from_value(compose).unwrap();
        shop.look.project = Some(look);
        for (name, part) in &mut shop.releases[0].components {
            part.reference = format!("registry:5000/{name}:1.4.2");
        }
        let api = shop.releases[0].components[&"api".parse().unwrap()]
            .image
            .clone();
        if let Some(Seen::Known(facts)) = shop.look.images.get_mut(&api) {
            facts.digests = digests
                .iter()
                .map(|digest| digest.parse().unwrap())
                .collect();
        }
    }))
}

/// The same without a variable: images of the site's own files, and an override file that says `value`.
pub(crate) fn unnamed(value: Option<&str>) -> ProjectLook {
    let mut look = project(
        value,
        ["registry:5000/api:1.5.0", "registry:5000/worker:1.5.0"],
        true,
    );
    let Seen::Known(file) = &mut look.file else {
        panic!("the file is known")
    };
    file.path = "/srv/shop/docker-compose.override.yml".to_owned();
    look
}

#[test]
fn images_are_pinned_by_digest_where_the_version_is_no_variable() {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let (other, own) = (
        format!("elsewhere/api@{}", digest("b")),
        format!("registry:5000/api@{}", digest("a")),
    );
    let proposal = overriding(unnamed(None), &[&other, &own]);
    assert!(proposal.plan.format >= plan::PLAN_FORMAT_OVERRIDE);
    let project = proposal.plan.project.clone().unwrap();
    assert_eq!((project.listing.as_ref(), project.drift.len()), (None, 0));
    let pin = project.pin.unwrap();
    let to = pin.to.clone().unwrap();
    let worker = &proposal
        .plan
        .swaps
        .iter()
        .find(|swap| swap.component.as_str() == "worker");
    let worker = &worker.unwrap().image;
    assert_eq!(
        to,
        format!("api={own}, worker={worker}"),
        "its identity without a digest"
    );
    assert_eq!((pin.variable.as_ref(), pin.from.as_ref()), (None, None));
    let said = Step::Pin.explain(&proposal.plan);
    assert!(said.contains("is removed if the rollback turns"), "{said}");
    let unchanged = proposal.unchanged.join("\n");
    assert!(unchanged.contains("`-f`"), "{unchanged}");

    let built = BTreeMap::from([("api".parse().unwrap(), worker.clone())]);
    let built = proposal.plan.as_built(&built).into_owned();
    let pin = built.project.unwrap().pin.unwrap();
    assert_eq!(pin.to, Some(format!("api={worker}, worker={worker}")));
}

#[test]
fn what_an_earlier_rollback_pinned_stays_pinned_while_it_is_not_touched() {
    let digest = format!("registry:5000/api@sha256:{}", "a".repeat(64));
    let look = unnamed(Some("api=sha256:00, front=sha256:11, worker=sha256:22"));
    let pin = overriding(look, &[&digest])
        .plan
        .project
        .unwrap()
        .pin
        .unwrap();
    let to = pin.to.unwrap();
    assert!(
        to.starts_with(&format!("api={digest}, front=sha256:11, worker=")),
        "{to}"
    );
    assert!(!to.contains("worker=sha256:22"), "{to}");
}

#[test]
fn what_the_sites_own_files_name_needs_no_pin_and_loses_ours() {
    let mut look = unnamed(Some("api=sha256:00, worker=sha256:11"));
    let plain = planned(&Shop::new()).plan;
    if let Seen::Known(read) = &mut look.read {
        for swap in &plain.swaps {
            read.services.get_mut(&swap.component).unwrap().image_id = Some(swap.image.clone());
        }
    }
    let list = |value: &str| PinFile {
        path: "/srv/shop/.env".to_owned(),
        value: Some(value.to_owned()),
        state: PinState::Free,
    };
    let (with, without) = ("a.yml:docker-compose.sternway.yml", "a.yml");
    look.listing = Some(Listing {
        file: list(with),
        with: Some(with.to_owned()),
        without: Some(without.to_owned()),
    });
    let project = overriding(look.clone(), &[]).plan.project.unwrap();
    let order: Vec<(&str, Option<&str>)> = project
        .pins()
        .into_iter()
        .map(|pin| (pin.path.as_str(), pin.to.as_deref()))
        .collect();
    assert_eq!(
        order,
        [
            ("/srv/shop/.env", Some(without)),
            ("/srv/shop/docker-compose.override.yml", None)
        ],
        "no list ever names a file that is not there"
    );

    look.read = unnamed(None).read;
    look.listing.as_mut().unwrap().file = list(without);
    let project = overriding(look, &[]).plan.project.unwrap();
    let order: Vec<&str> = project
        .pins()
        .into_iter()
        .map(|pin| pin.path.as_str())
        .collect();
    assert_eq!(
        order,
        ["/srv/shop/docker-compose.override.yml", "/srv/shop/.env"]
    );
}

#[test]
fn an_override_file_that_somebody_edited_is_said_and_blocks_nothing() {
    let mut look = unnamed(None);
    if let Seen::Known(file) = &mut look.file {
        file.state = PinState::Edited {
            difference: "it was edited by hand: worker.image differs".to_owned(),
        };
    }
    let proposal = overriding(look, &[]);
    assert_eq!(proposal.plan.project.as_ref().unwrap().pin, None);
    let warnings = sentences(&proposal);
    assert!(warnings.contains("worker.image differs"), "{warnings}");
    assert!(proposal.plan.steps.contains(&Step::Pin));
}

#[test]
fn a_compose_that_is_slow_for_one_plan_makes_it_no_other() {
    let mut late = project(Some("1.5.0"), IMAGES, true);
    late.read = Seen::Unknown("Compose did not answer within 8s".to_owned());
    let slow = pinning(late).plan;
    let known = pinning(project(Some("1.5.0"), IMAGES, true)).plan;
    assert!(slow.still_holds(&known) && known.still_holds(&slow));
    assert!(slow.still_holds(&slow) && known.still_holds(&known));

    let edited = pinning(project(Some("1.5.0"), IMAGES, false)).plan;
    assert!(
        !known.still_holds(&edited),
        "both were read, and the project is another"
    );
    let elsewhere = pinning(project(Some("1.6.0"), IMAGES, true)).plan;
    assert!(
        !slow.still_holds(&elsewhere),
        "what is written is a part of what is done"
    );
    let other = planned(&Shop::new()).plan;
    assert!(!slow.still_holds(&other) && !other.still_holds(&slow));
}

#[test]
fn without_a_pin_the_plan_says_what_the_next_up_may_do() {
    let proposal = planned(&Shop::new());
    assert_eq!(proposal.plan.project, None);
    assert!(!proposal.plan.steps.contains(&Step::Pin));
    let said = proposal.unchanged.join("\n");
    assert!(said.contains("the next `up` may bring it back"), "{said}");
}
