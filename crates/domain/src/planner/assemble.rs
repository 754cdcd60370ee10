//! From what changes over and how to the ordered steps of a plan.

use crate::{
    application::Application,
    ledger::Release,
    name::{ComponentName, Version},
    order,
    plan::{
        Chosen, Manner, PLAN_FORMAT_FRONT, PLAN_FORMAT_HANDOVER, PLAN_FORMAT_QUICK,
        PLAN_FORMAT_SUPPLY, PLAN_FORMAT_TWO, PLAN_FORMAT_UNDO, PLAN_FORMAT_WAVES, Plan, Settled,
        Strategy, Swap, images_to_keep,
    },
    steps::{Act, Step},
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
    let steps = steps(application, &parts);
    // The oldest that can execute it: while two versions run side by side, both can do most of the work.
    let any = |is: fn(&Swap) -> bool| parts.swaps.iter().any(is);
    let in_waves = steps.iter().any(|step| matches!(step, Step::Wave { .. }));
    let format = if in_waves {
        PLAN_FORMAT_WAVES
    } else if application.approval && application.approvers > 1 {
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
/// Components that need nothing of each other boot at the same time and are stopped one by one. Ports and balancers are moved
/// one after the other: each move takes a fraction of a second, and would take longer beside another one.
fn steps(application: &Application, parts: &Parts) -> Vec<Step> {
    if parts.swaps.is_empty() {
        return Vec::new();
    }
    let manner = |component: &ComponentName| {
        let mut manners = parts.manners.iter();
        let chosen = manners.find(|chosen| chosen.component == *component);
        chosen.map(|chosen| &chosen.manner)
    };
    let joins = |one: &ComponentName, other: &ComponentName| joins(&parts.swaps, one, other);
    let needs = |one: &ComponentName, other: &ComponentName| {
        comes_after(application, one, other) || joins(one, other)
    };
    let mut steps = vec![Step::Check, Step::Lock];
    steps.extend((!parts.supplies.is_empty()).then_some(Step::Supply));
    steps.extend([Step::Keep, Step::Capture]);
    // What is created is not started: only who shares with another container needs that one first.
    let created = waves(&parts.swaps, joins).into_iter();
    steps.extend(created.filter_map(|wave| Act::Create.of_all(wave)));
    let waves = waves(&parts.swaps, needs);
    for wave in &waves {
        let of = |is: fn(&Manner) -> bool| -> Vec<ComponentName> {
            let mut members = wave.clone();
            members.retain(|component| manner(component).is_some_and(is));
            members
        };
        let staged = of(|manner| matches!(manner, Manner::Handover { .. }));
        let raised = of(|manner| matches!(manner, Manner::Front { stops_first: None }));
        steps.extend(Act::Stage.of_all(staged));
        steps.extend(Act::Raise.of_all(raised));
    }
    for wave in waves {
        let mut switched = Vec::new();
        for component in wave {
            match manner(&component) {
                Some(Manner::Handover { .. }) => steps.push(Step::Handover { component }),
                Some(Manner::Front { stops_first: None }) => steps.push(Step::Point { component }),
                Some(Manner::Front { .. }) => steps.extend([
                    Step::Raise {
                        component: component.clone(),
                    },
                    Step::Point { component },
                ]),
                Some(Manner::StopStart { .. }) | None => switched.push(component),
            }
        }
        steps.extend(Act::Switch.of_all(switched));
    }
    steps.extend([Step::Prove, Step::Record, Step::Retire]);
    steps
}

/// The components that change over, in waves. Whoever waits for each other in a circle goes one by one.
fn waves(
    swaps: &[Swap],
    needs: impl Fn(&ComponentName, &ComponentName) -> bool,
) -> Vec<Vec<ComponentName>> {
    let mut touched: Vec<ComponentName> = Vec::new();
    for swap in swaps {
        if !touched.contains(&swap.component) {
            touched.push(swap.component.clone());
        }
    }
    let alone = |circle: Vec<ComponentName>| circle.into_iter().map(|one| vec![one]).collect();
    order::in_waves(touched.clone(), needs).unwrap_or_else(|_| alone(touched))
}

/// Whether one component needs the other, be it through others, which may stay as they are.
fn comes_after(application: &Application, one: &ComponentName, other: &ComponentName) -> bool {
    let mut known: Vec<&ComponentName> = vec![one];
    let mut at = 0;
    while let Some(name) = known.get(at).copied() {
        let needs = application
            .component(name)
            .map_or(&[][..], |found| &found.after);
        for need in needs {
            if need == other {
                return true;
            }
            if !known.contains(&need) {
                known.push(need);
            }
        }
        at += 1;
    }
    false
}

/// Whether a container of one component shares with one of the other.
fn joins(swaps: &[Swap], one: &ComponentName, other: &ComponentName) -> bool {
    if one == other {
        return false;
    }
    let of = |component: &ComponentName| {
        let component = component.clone();
        swaps.iter().filter(move |swap| swap.component == component)
    };
    of(one).any(|swap| of(other).any(|parent| swap.joins.contains(&parent.former)))
}
