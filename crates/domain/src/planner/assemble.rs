//! From what changes over and how to the ordered steps of a plan.

use std::collections::BTreeSet;

use crate::{
    application::Application,
    ledger::Release,
    name::{ComponentName, Version},
    plan::{Chosen, Manner, PLAN_FORMAT, Plan, Settled, Strategy, Swap},
    steps::Step,
    supply::Supply,
    target::Target,
};

/// The first format whose plans may bring images.
const WITH_SUPPLIES: i16 = 2;

/// What a plan is made of.
pub(super) struct Parts {
    pub(super) swaps: Vec<Swap>,
    pub(super) manners: Vec<Chosen>,
    pub(super) settled: Vec<Settled>,
    pub(super) supplies: Vec<Supply>,
    pub(super) room: u64,
}

/// The plan.
pub(super) fn assemble(
    application: &Application,
    release: &Release,
    target: &Target,
    from: Option<Version>,
    parts: Parts,
) -> Plan {
    let images: BTreeSet<_> = parts
        .swaps
        .iter()
        .flat_map(|swap| [&swap.former_image, &swap.image])
        .collect();
    let keep = images.into_iter().cloned().collect();
    let steps = steps(&parts);
    // The oldest that can execute it: while two versions run side by side, both can do most of the work.
    let newest = |swap: &Swap| swap.ends.is_some() || swap.server.is_some();
    let format = if parts.swaps.iter().any(newest) {
        PLAN_FORMAT
    } else if parts.supplies.is_empty() {
        1
    } else {
        WITH_SUPPLIES
    };
    Plan {
        format,
        strategy: Strategy::Quick,
        application: application.clone(),
        target: target.clone(),
        from,
        to: release.version.clone(),
        deployment: release.deployment,
        swaps: parts.swaps,
        manners: parts.manners,
        settled: parts.settled,
        supplies: parts.supplies,
        keep,
        disk_free_min: parts.room,
        project: None,
        steps,
    }
}

/// Everything that can be done before anything is touched comes first, the stages of every component included.
fn steps(parts: &Parts) -> Vec<Step> {
    if parts.swaps.is_empty() {
        return Vec::new();
    }
    let mut touched: Vec<ComponentName> = Vec::new();
    for swap in &parts.swaps {
        if !touched.contains(&swap.component) {
            touched.push(swap.component.clone());
        }
    }
    let manner = |component: &ComponentName| {
        let mut manners = parts.manners.iter();
        let chosen = manners.find(|chosen| chosen.component == *component);
        chosen.map(|chosen| &chosen.manner)
    };
    let mut steps = vec![Step::Check, Step::Lock];
    steps.extend((!parts.supplies.is_empty()).then_some(Step::Supply));
    steps.extend([Step::Keep, Step::Capture]);
    steps.extend(
        touched
            .iter()
            .cloned()
            .map(|component| Step::Create { component }),
    );
    steps.extend(touched.iter().filter_map(|component| {
        let component = component.clone();
        match manner(&component) {
            Some(Manner::Handover { .. }) => Some(Step::Stage { component }),
            Some(Manner::Front { two_versions: true }) => Some(Step::Raise { component }),
            Some(
                Manner::Front {
                    two_versions: false,
                }
                | Manner::StopStart { .. },
            )
            | None => None,
        }
    }));
    for component in touched {
        match manner(&component) {
            Some(Manner::Handover { .. }) => steps.push(Step::Handover { component }),
            Some(Manner::Front { two_versions: true }) => steps.push(Step::Point { component }),
            Some(Manner::Front {
                two_versions: false,
            }) => steps.extend([
                Step::Raise {
                    component: component.clone(),
                },
                Step::Point { component },
            ]),
            Some(Manner::StopStart { .. }) | None => steps.push(Step::Switch { component }),
        }
    }
    steps.extend([Step::Prove, Step::Record, Step::Retire]);
    steps
}
