//! What a step wants to see, and how long it may be tried.

use super::{
    Step,
    wave::{self, Act},
};
use crate::{name::ComponentName, plan::Plan, time::Millis};

/// Longest time that bringing images may take: ten gigabytes over a line of 50 Mbit/s. What runs goes on serving.
const SUPPLY_S_MAX: u32 = 1800;

/// Longest time that storing evidence may delay the way back.
const CAPTURE_S_MAX: u32 = 10;

/// Which side of a rollback probes are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What served before.
    Former,
    /// What shall serve.
    Target,
    /// What shall serve, as long as it is on the stage.
    Stage,
    /// The target's containers that run behind a front and that no client is sent to yet.
    Beside,
}

/// What a step wants to know beyond the application's containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The engine at all. Without it only our own store is looked at.
    pub engine: bool,
    /// The plan's images, the disk and the stored specifications.
    pub supplies: bool,
    /// What this rollback stored of itself: artifacts, ledger entry.
    pub records: bool,
    /// What was deployed after this rollback.
    pub deployments: bool,
    /// What the plan builds.
    pub builds: bool,
    /// The balancers in front of components.
    pub fronts: bool,
    /// What is under way at each address behind them.
    pub sessions: bool,
    /// The probes of one side.
    pub probes: Option<Side>,
    /// The file that the plan pins the version in.
    pub pin: bool,
    /// The project as Compose reads it.
    pub project: bool,
}

impl Scope {
    fn of_engine() -> Self {
        Self {
            engine: true,
            ..Self::default()
        }
    }

    fn probing(side: Side) -> Self {
        Self {
            probes: Some(side),
            ..Self::of_engine()
        }
    }
}

impl Step {
    /// What to look at before asking this step.
    #[must_use]
    pub fn scope(&self, backward: bool) -> Scope {
        let engine = Scope::of_engine();
        let probing = Scope::probing;
        let recording = |engine| Scope {
            engine,
            records: true,
            ..Scope::default()
        };
        match self {
            Self::Check if backward => Scope::default(),
            Self::Wave { act, components } => {
                let mut parts = wave::parts(*act, components);
                parts.next().map_or(engine, |part| part.scope(backward))
            }
            Self::Build { .. } => Scope {
                builds: true,
                ..engine
            },
            Self::Lock if backward => Scope {
                fronts: true,
                pin: true,
                ..probing(Side::Former)
            },
            Self::Pin => Scope {
                pin: true,
                project: !backward,
                ..engine
            },
            Self::Create { .. } if !backward => Scope {
                project: true,
                ..engine
            },
            Self::Check => Scope {
                supplies: true,
                fronts: true,
                ..probing(Side::Former)
            },
            Self::Supply if !backward => Scope {
                supplies: true,
                ..engine
            },
            Self::Capture => recording(true),
            Self::Prove if !backward => Scope {
                fronts: true,
                ..probing(Side::Target)
            },
            Self::Stage { .. } if !backward => probing(Side::Stage),
            Self::Raise { .. } if !backward => probing(Side::Beside),
            Self::Point { .. } => Scope {
                fronts: true,
                ..engine
            },
            Self::Retire => Scope {
                fronts: true,
                sessions: true,
                ..engine
            },
            Self::Record => recording(false),
            Self::Lock
            | Self::Supply
            | Self::Keep
            | Self::Create { .. }
            | Self::Stage { .. }
            | Self::Raise { .. }
            | Self::Switch { .. }
            | Self::Handover { .. }
            | Self::Prove => engine,
        }
    }

    /// How long it may be tried, in this direction.
    #[must_use]
    pub fn time_limit(&self, plan: &Plan, forward: bool) -> Millis {
        match self {
            // What is stopped is stopped one after the other.
            Self::Wave {
                act: Act::Switch,
                components,
            } => {
                let graces = components.iter().map(|component| graces(plan, component).0);
                Millis::from_secs(plan.application.timeouts.step_s).and(Millis(graces.sum()))
            }
            Self::Wave {
                act: act @ (Act::Create | Act::Stage | Act::Raise),
                components,
            } => {
                let parts = wave::parts(*act, components);
                let longest = parts.map(|part| part.time_limit(plan, forward)).max();
                longest.unwrap_or(Millis(0))
            }
            // Nothing is proved there on the way back; what is left of the stage is taken down, however short a proof is.
            Self::Stage { .. } | Self::Raise { .. } if !forward => plan
                .application
                .timeouts
                .proof()
                .and(Millis::from_secs(plan.application.timeouts.step_s)),
            // Evidence is worth a few seconds of an outage and no more.
            Self::Capture => Millis::from_secs(CAPTURE_S_MAX.min(plan.application.timeouts.step_s)),
            Self::Supply => Millis::from_secs(SUPPLY_S_MAX),
            Self::Prove | Self::Check | Self::Stage { .. } => plan.application.timeouts.proof(),
            // The build itself is stopped after `build_s` and says how far it came; this is for everything around it.
            Self::Build { .. } => {
                let timeouts = &plan.application.timeouts;
                Millis::from_secs(timeouts.build_s).and(Millis::from_secs(timeouts.step_s))
            }
            // It is given back once what served before is seen to serve again.
            Self::Lock => plan
                .application
                .timeouts
                .proof()
                .and(Millis::from_secs(plan.application.timeouts.step_s)),
            // A container that ignores the signal is given its whole grace before it is killed.
            Self::Switch { component } | Self::Handover { component } => {
                Millis::from_secs(plan.application.timeouts.step_s).and(graces(plan, component))
            }
            // One version at a time: the former one is given its whole grace before the target starts.
            Self::Raise { component } => plan
                .application
                .timeouts
                .proof()
                .and(graces(plan, component)),
            Self::Retire => {
                let drains = plan.swaps.iter().filter_map(|swap| plan.front_of(swap));
                let longest = drains.map(|(front, _)| front.drain_s).max().unwrap_or(0);
                Millis::from_secs(plan.application.timeouts.step_s).and(Millis::from_secs(longest))
            }
            Self::Keep | Self::Pin | Self::Create { .. } | Self::Point { .. } | Self::Record => {
                Millis::from_secs(plan.application.timeouts.step_s)
            }
        }
    }
}

/// What the containers of a component, and whoever shares with them, may take to stop.
fn graces(plan: &Plan, component: &ComponentName) -> Millis {
    let graces = plan
        .swaps_of(component)
        .flat_map(|swap| [swap].into_iter().chain(plan.side_cars_of(swap)))
        .map(|swap| u64::from(swap.stop_grace_s) * 1000);
    Millis(graces.sum())
}
