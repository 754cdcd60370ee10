//! From what changes over and how to the ordered steps of a plan.

use crate::{
    application::Application,
    ledger::Release,
    name::{ComponentName, Version},
    plan::{
        Chosen, Manner, PLAN_FORMAT_FRONT, PLAN_FORMAT_HANDOVER, PLAN_FORMAT_QUICK,
        PLAN_FORMAT_SUPPLY, PLAN_FORMAT_TWO, PLAN_FORMAT_UNDO, Plan, Settled, Strategy, Swap,
        images_to_keep,
    },
    steps::Step,
    supply::Supply,
    target::Target,
};

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
    let keep = images_to_keep(&parts.swaps);
    let steps = steps(&parts);
    // The oldest that can execute it: while two versions run side by side, both can do most of the work.
    let any = |is: fn(&Swap) -> bool| parts.swaps.iter().any(is);
    let format = if application.approval && application.approvers > 1 {
        PLAN_FORMAT_TWO
    } else if target.undoes().is_some() {
        PLAN_FORMAT_UNDO
    } else if any(|swap| swap.server.is_some()) {
        PLAN_FORMAT_FRONT
    } else if any(|swap| swap.ends.is_some()) {
        PLAN_FORMAT_HANDOVER
    } else if parts.supplies.is_empty() {
        PLAN_FORMAT_QUICK
    } else {
        PLAN_FORMAT_SUPPLY
    };
    Plan {
        format,
        strategy: Strategy::Quick,
        application: application.clone(),
        target: target.clone(),
        source: None,
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
            Some(Manner::Front { stops_first: None }) => Some(Step::Raise { component }),
            Some(Manner::Front { .. } | Manner::StopStart { .. }) | None => None,
        }
    }));
    for component in touched {
        match manner(&component) {
            Some(Manner::Handover { .. }) => steps.push(Step::Handover { component }),
            Some(Manner::Front { stops_first: None }) => steps.push(Step::Point { component }),
            Some(Manner::Front { .. }) => steps.extend([
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
