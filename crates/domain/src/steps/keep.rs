//! Keeper containers: an extra tag does not protect an image from `docker image prune -a`, a container that
//! refers to it does, even one that was never started.

use super::{Ctx, Next, plural};
use crate::{effect::Effect, plan::Plan};

pub(super) fn explain(plan: &Plan) -> String {
    format!(
        "Protect {} (the present and the target's) from clean-ups.",
        plural(plan.keep.len(), "image")
    )
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    match ctx
        .plan
        .keep
        .iter()
        .find(|image| !ctx.look.kept.contains_key(image))
    {
        Some(image) => Next::Do(Effect::KeepImage {
            image: image.clone(),
        }),
        None => Next::Done(format!(
            "{} protected",
            plural(ctx.plan.keep.len(), "image")
        )),
    }
}
