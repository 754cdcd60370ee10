//! An image that is gone is built again from the commit of its tag, before anything is touched. What was built is seen
//! by its labels, never remembered; the log says which image it was, and the steps after it go by that.

use super::{Ctx, Next};
use crate::{
    effect::Effect,
    name::{ComponentName, ImageId},
    plan::Plan,
    verdict::{Cause, CauseCode},
};

/// What is there of the build of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildSeen {
    /// The image that a finished build of exactly this commit gave, under our tag.
    pub image: Option<ImageId>,
    /// Whether this rollback began a build whose remains were not removed.
    pub begun: bool,
}

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    let from = plan.source.as_ref().map_or_else(String::new, |source| {
        format!(
            " from tag {} (commit {})",
            source.tag,
            source.commit.short()
        )
    });
    format!(
        "Build {component} {}{from} on the engine, within {} s; what serves is not touched.",
        plan.to, plan.application.timeouts.build_s
    )
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    if let Some(image) = built(ctx, component) {
        return Next::Done(outcome(ctx.plan, component, &image));
    }
    match ctx.run.refused.as_ref().filter(|cause| is_final(cause)) {
        Some(cause) => Next::Fail(cause.clone()),
        None => Next::Do(Effect::Build {
            component: component.clone(),
        }),
    }
}

/// A finished image that something else uses by then stays: removing is never forced.
pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    if seen(ctx, component).is_some_and(|seen| seen.begun) {
        return Next::Do(Effect::DropBuild {
            component: component.clone(),
        });
    }
    Next::Done(format!("nothing of a build of {component} is left"))
}

/// The image of a component that the plan builds, once it is there.
pub(crate) fn built(ctx: &Ctx<'_>, component: &ComponentName) -> Option<ImageId> {
    seen(ctx, component)?.image.clone()
}

fn seen<'a>(ctx: &Ctx<'a>, component: &ComponentName) -> Option<&'a BuildSeen> {
    ctx.world.builds.get(component)
}

/// Building the same commit once more would fail in the same way.
fn is_final(cause: &Cause) -> bool {
    matches!(cause.code, CauseCode::BuildFailed | CauseCode::SourceUnfit)
}

/// Said plainly: an image that is built again is seldom the same, and then only the proof tells whether it is good.
fn outcome(plan: &Plan, component: &ComponentName, image: &ImageId) -> String {
    let ledger = plan.swaps_of(component).map(|swap| &swap.image).next();
    match ledger {
        Some(ledger) if ledger == image => {
            format!(
                "{component} is built: image {}, the one that the ledger has",
                image.short()
            )
        }
        Some(ledger) => format!(
            "{component} is built: image {}; it differs from the ledger's {}, because builds are not reproducible",
            image.short(),
            ledger.short()
        ),
        None => format!("{component} is built: image {}", image.short()),
    }
}
