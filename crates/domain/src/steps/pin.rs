//! The version where the site keeps it: written before anything is changed over, so that the site's own `up` finds
//! what the rollback left, and put back when the run turns.
//!
//! Compose is a convenience and production is not: what can not be pinned is noted, and the rollback goes on.

use super::{Ctx, Next, Step};
use crate::{
    compose::{Pin, PinFile, PinState, PlannedProject},
    effect::Effect,
    plan::{Plan, Swap},
    seen::Seen,
    verdict::{Cause, CauseCode},
};

pub(super) fn explain(plan: &Plan) -> String {
    let planned = plan
        .project
        .as_ref()
        .map_or_else(Vec::new, PlannedProject::pins);
    let said: Vec<String> = planned.into_iter().map(|pin| written(plan, pin)).collect();
    if said.is_empty() {
        return "Look whether Compose will know what comes back.".to_owned();
    }
    said.join(" ")
}

fn written(plan: &Plan, pin: &Pin) -> String {
    let (path, from) = (&pin.path, pin.from.as_ref());
    let held = plan
        .from
        .as_ref()
        .map_or_else(|| "what served before".to_owned(), ToString::to_string);
    // An undo holds nothing.
    let and_when = match plan.target.undoes() {
        Some(_) => String::new(),
        None => format!(", and when the hold of {held} is released"),
    };
    let back = format!("its former content is put back if the rollback turns{and_when}");
    match (&pin.variable, &pin.to) {
        (Some(variable), to) => {
            let to = to.as_deref().unwrap_or_default();
            if from.is_some_and(|from| from == to) {
                return format!("Leave {variable}={to} in {path} as it is.");
            }
            let now = from.map_or_else(
                || "which does not set it now".to_owned(),
                |from| format!("which says {from} now"),
            );
            format!("Write {variable}={to} into {path}, {now}; {back}.")
        }
        (None, Some(to)) if from == Some(to) => format!("Leave {path} as it is: it pins {to}."),
        (None, Some(to)) => {
            let (now, back) = match from {
                Some(from) => (format!("which pins {from} now"), back),
                None => (
                    "which Compose reads after the site's own files".to_owned(),
                    format!("it is removed if the rollback turns{and_when}"),
                ),
            };
            format!(
                "Write {path}, {now}, with {to}; {back}. Until then no `up` deploys other images of these services."
            )
        }
        (None, None) if from.is_none() => {
            format!(
                "Pin nothing: the Compose files name the images of {} already.",
                plan.to
            )
        }
        (None, None) => format!(
            "Remove {path}, which an earlier rollback wrote: without it the Compose files name the images of {}; it is put back if the \
             rollback turns.",
            plan.to
        ),
    }
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    let Some(project) = &ctx.plan.project else {
        return Next::Done("there is nothing to pin".to_owned());
    };
    let Some(pin) = &project.pin else {
        return given_up(project.drift.join("; "));
    };
    for pin in project.pins() {
        if let Some(next) = write(ctx, pin) {
            return next;
        }
    }
    told(ctx, project, pin)
}

/// None once the file says what it shall.
fn write(ctx: &Ctx<'_>, pin: &Pin) -> Option<Next> {
    let file = match file(ctx, pin) {
        Ok(file) => file,
        Err(why) => return Some(given_up(why)),
    };
    if let PinState::Edited { difference } = &file.state {
        // An edit that says what is wanted is as good; of ours there is one text only.
        if file.value != pin.to || pin.variable.is_none() {
            return Some(given_up(format!(
                "{} was edited meanwhile and is left as it is: {difference}",
                pin.path
            )));
        }
    }
    if file.value == pin.to {
        return None;
    }
    if file.value != pin.from {
        return Some(given_up(format!(
            "{} says {} where the plan saw {}; it is left as it is",
            pin.path,
            said(file.value.as_ref()),
            said(pin.from.as_ref()),
        )));
    }
    Some(Next::Do(Effect::WritePin {
        path: pin.path.clone(),
        variable: pin.variable.clone(),
        from: pin.from.clone(),
        to: pin.to.clone(),
    }))
}

/// In the order in which what was written is taken back: the last first.
pub(super) fn backward(ctx: &Ctx<'_>) -> Next {
    let planned = ctx.plan.project.as_ref();
    let mut pins = planned.map_or_else(Vec::new, PlannedProject::pins);
    pins.reverse();
    let mut done = "nothing was pinned".to_owned();
    for pin in pins {
        let file = match file(ctx, pin) {
            Ok(file) => file,
            Err(why) => return given_up(why),
        };
        match &file.state {
            PinState::Free => {}
            PinState::Former => done = format!("{} is what it was before", pin.path),
            PinState::Ours if read_by_compose(ctx) => {
                return given_up(format!(
                    "{} is left as it is: an `up` of Compose put {} in service by it meanwhile",
                    pin.path, ctx.plan.to
                ));
            }
            PinState::Ours => {
                return Next::Do(Effect::PutBackPin {
                    path: pin.path.clone(),
                });
            }
            PinState::Edited { difference } => return given_up(edited(pin, difference)),
        }
    }
    Next::Done(done)
}

/// Whether somebody else's containers run the images that were to go back, and none of what was to be replaced is there: put
/// back, the file would have the next `up` deploy the version that the rollback was to leave.
fn read_by_compose(ctx: &Ctx<'_>) -> bool {
    let run = |swap: &Swap| {
        let mut others = ctx.look.containers.iter();
        others.any(|container| {
            container.component == swap.component
                && container.is_up()
                && container.image == swap.image
                && container
                    .mark
                    .as_ref()
                    .is_none_or(|mark| mark.rollback != ctx.rollback)
        })
    };
    let swaps = &ctx.plan.swaps;
    swaps.iter().all(run) && swaps.iter().all(|swap| ctx.former_of(swap).is_none())
}

fn edited(pin: &Pin, difference: &str) -> String {
    let path = &pin.path;
    match &pin.variable {
        Some(variable) => format!(
            "{path} was edited since {} was written and is left as it is: {difference}; set {variable} yourself",
            pin.says(pin.to.as_ref())
        ),
        None => format!(
            "{path} was edited since it was written and is left as it is: {difference}; look what in it you need, and delete it"
        ),
    }
}

/// What Compose would write on the target's container: only where it would run the very image, and where we read
/// the project as whoever deploys does. Else why not.
pub(super) fn config_hash(ctx: &Ctx<'_>, swap: &Swap) -> Result<String, String> {
    let component = &swap.component;
    let project = ctx
        .plan
        .project
        .as_ref()
        .ok_or("Compose has no part in it")?;
    let look = ctx.look.project.as_ref().ok_or("Compose was not asked")?;
    if project.unread {
        return Err("Compose had not answered when the plan was made".to_owned());
    }
    if !project.understood.contains(component) {
        return Err(format!(
            "Compose, run here, reads {component} in another way than whoever deployed it"
        ));
    }
    let read = match &look.read {
        Seen::Known(read) => read,
        Seen::Unknown(why) => return Err(why.clone()),
        Seen::Absent => return Err("Compose was not asked".to_owned()),
    };
    let service = read
        .services
        .get(component)
        .ok_or_else(|| format!("the project has no service {component}"))?;
    if service.image_id.as_ref() != Some(&swap.image) {
        let image = service.image.as_deref().unwrap_or("no image");
        return Err(format!(
            "Compose would run {image} for {component}, which is not the image that goes back: the next `up` will change it"
        ));
    }
    Ok(service.hash.clone())
}

/// The pin that stands after a rollback to its target, by the notes of its run; none when it was given up.
#[must_use]
pub fn pinned<'a>(plan: &'a Plan, notes: &[String]) -> Option<&'a Pin> {
    let pin = pin(plan)?;
    let (given_up, stands) = (Step::Pin.given_up(""), pin.stands());
    let mut lost = notes.iter().filter(|note| note.starts_with(&given_up));
    lost.all(|note| note.contains(&stands)).then_some(pin)
}

/// The version is written; whether Compose will take what comes back for its own.
fn told(ctx: &Ctx<'_>, project: &PlannedProject, pin: &Pin) -> Next {
    let untold = ctx
        .plan
        .swaps
        .iter()
        .find_map(|swap| config_hash(ctx, swap).err());
    let written = pin.stands();
    match project.drift.first().cloned().or(untold) {
        None => Next::Done(written),
        Some(why) => given_up(format!("{written}, but {why}")),
    }
}

fn pin(plan: &Plan) -> Option<&Pin> {
    plan.project.as_ref()?.pin.as_ref()
}

fn file<'a>(ctx: &Ctx<'a>, pin: &Pin) -> Result<&'a PinFile, String> {
    let gone = || "the file that the version is pinned in was not looked at".to_owned();
    let look = ctx.look.project.as_ref().ok_or_else(gone)?;
    let listed = look.listing.as_ref().map(|listing| &listing.file);
    if let Some(file) = listed.filter(|file| file.path == pin.path) {
        return Ok(file);
    }
    match &look.file {
        Seen::Known(file) => Ok(file),
        Seen::Unknown(why) => Err(why.clone()),
        Seen::Absent => Err(gone()),
    }
}

fn said(value: Option<&String>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"))
}

fn given_up(why: String) -> Next {
    Next::Fail(Cause::new(CauseCode::Drifted, why))
}
