//! An image that is not on the engine is brought there while what runs goes on serving: by digest from a registry, or
//! from an archive whose checksum is known. Each refusal moves on to the next source; the log counts them.

use super::{Ctx, Next, plural};
use crate::{
    effect::Effect,
    plan::Plan,
    seen::Seen,
    supply::{ImageSource, Supply},
    verdict::{Cause, CauseCode},
};

pub(super) fn explain(plan: &Plan) -> String {
    let each = plan.supplies.iter().map(|supply| {
        let names: Vec<&str> = supply
            .components
            .iter()
            .map(|component| component.as_str())
            .collect();
        let sources: Vec<String> = supply.sources.iter().map(ToString::to_string).collect();
        format!(
            "{} of {} from {}",
            supply.image.short(),
            names.join(", "),
            sources.join(", else from ")
        )
    });
    format!(
        "Bring {} that the engine does not have: {}. What runs goes on serving meanwhile.",
        plural(plan.supplies.len(), "image"),
        each.collect::<Vec<_>>().join("; "),
    )
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    for supply in &ctx.plan.supplies {
        match ctx.look.images.get(&supply.image) {
            Some(Seen::Known(facts)) => {
                if let Some(cause) = other_processor(supply, &facts.architecture) {
                    return Next::Fail(cause);
                }
            }
            Some(Seen::Absent) | None => return bring(ctx, supply),
            Some(Seen::Unknown(why)) => {
                let sentence = format!(
                    "image {} could not be looked at: {why}",
                    supply.image.short()
                );
                return Next::Fail(Cause::new(CauseCode::EngineRefused, sentence));
            }
        }
    }
    Next::Done(format!(
        "{} on the engine",
        plural(ctx.plan.supplies.len(), "missing image")
    ))
}

fn bring(ctx: &Ctx<'_>, supply: &Supply) -> Next {
    let tries = usize::from(ctx.run.refusals).min(supply.sources.len().saturating_sub(1));
    match supply.sources.get(tries) {
        Some(ImageSource::Archive(archive)) => Next::Do(Effect::LoadImage {
            image: supply.image.clone(),
            archive: archive.clone(),
        }),
        Some(ImageSource::Registry { reference }) => Next::Do(Effect::PullImage {
            image: supply.image.clone(),
            reference: reference.clone(),
        }),
        None => Next::Fail(Cause::new(
            CauseCode::ImageMissing,
            format!(
                "image {} is not on the engine and the plan names no source of it",
                supply.image.short()
            ),
        )),
    }
}

/// Known only now when the ledger did not say it.
fn other_processor(supply: &Supply, architecture: &str) -> Option<Cause> {
    let wanted = supply.architecture.as_ref()?;
    (wanted != architecture).then(|| {
        let sentence = format!(
            "image {} is for {architecture}, what runs is for {wanted}",
            supply.image.short()
        );
        Cause::new(CauseCode::Architecture, sentence)
    })
}
