//! What a person should know of a plan before saying yes: how long clients go without, and what stays as it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Snapshot;
use crate::{compose::Pin, plan::Plan, time::Millis};

/// Stop and start of one container with a published port, by the engine alone (measured median).
const SWAP_ESTIMATE: Millis = Millis(450);
/// A port that moves, on a quiet engine, whatever the application's boot time (measured median).
const HANDOVER_ESTIMATE: Millis = Millis(160);

/// How long clients are expected to go without an answer, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Downtime {
    /// Milliseconds.
    #[schema(value_type = u64)]
    pub expected_ms: Millis,
    /// What the figure comes from.
    pub basis: String,
}

pub(super) fn downtime(snapshot: &Snapshot<'_>, plan: &Plan) -> Downtime {
    if plan.changes_nothing() {
        return Downtime {
            expected_ms: Millis(0),
            basis: "nothing is restarted".to_owned(),
        };
    }
    let beside = |swap| plan.side_by_side(swap);
    if plan.swaps.iter().all(beside) {
        return Downtime {
            expected_ms: Millis(0),
            basis: "each component is behind a balancer that is pointed at the target once that is proved beside \
                    the present one"
                .to_owned(),
        };
    }
    let mut past: Vec<Millis> = snapshot.outages.to_vec();
    past.sort_unstable();
    match past.get(past.len() / 2) {
        Some(median) => Downtime {
            expected_ms: *median,
            basis: format!(
                "median of the last {} of this application",
                count(past.len(), "rollback")
            ),
        },
        None => Downtime {
            expected_ms: estimate(plan),
            basis: basis(plan),
        },
    }
}

fn estimate(plan: &Plan) -> Millis {
    let each = |swap: &crate::plan::Swap| match swap.ends {
        Some(_) => HANDOVER_ESTIMATE.0,
        None => SWAP_ESTIMATE.0,
    };
    Millis(plan.swaps.iter().map(each).sum())
}

fn basis(plan: &Plan) -> String {
    let moved = plan.swaps.iter().filter(|swap| swap.ends.is_some()).count();
    let stopped = plan.swaps.len() - moved;
    let mut parts = Vec::new();
    if moved > 0 {
        parts.push("the move of the published port of each container that is proved beforehand");
    }
    if stopped > 0 {
        parts.push(
            "the engine's own stop and start of each other container, and the time that it takes to boot and to stop \
             on top",
        );
    }
    format!(
        "{}; no rollback of this application is recorded yet",
        parts.join(", ")
    )
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        noun.to_owned()
    } else {
        format!("{number} {noun}s")
    }
}

fn compose(plan: &Plan) -> String {
    match plan.project.as_ref().and_then(|project| project.pin.as_ref()) {
        Some(Pin { path, variable: Some(variable), .. }) => format!(
            "The Compose file and CI are not touched: a shell that sets {variable} wins over {path}, and may bring back what was there."
        ),
        Some(Pin { path, variable: None, .. }) => format!(
            "The site's own Compose files and CI are not touched: an `up` that names its files with `-f` does not read {path}, and may \
             bring back what was there."
        ),
        None => "The Compose file, `.env` and CI still name the version that they name now: the next `up` may bring it back.".to_owned(),
    }
}

pub(super) fn unchanged(plan: &Plan) -> Vec<String> {
    let mut lines = vec![
        "Databases and their schema are not touched.".to_owned(),
        "No volume and no data in one is removed; each component gets the mounts that its version ran with.".to_owned(),
        compose(plan),
    ];
    if !plan.settled.is_empty() {
        let names: BTreeSet<&str> = plan
            .settled
            .iter()
            .map(|settled| settled.component.as_str())
            .collect();
        lines.push(format!(
            "{} already runs {} and is left alone.",
            names.into_iter().collect::<Vec<_>>().join(", "),
            plan.to
        ));
    }
    lines
}
