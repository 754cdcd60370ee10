//! Each event of a log as a plain sentence: what a person reads who watches a rollback.

use domain::{
    effect::{Effect, Failure, Outcome},
    lifecycle::Event,
    name::{ContainerId, VariableName},
    plan::Plan,
};

/// The event, said to a person.
pub(crate) fn sentence(plan: &Plan, event: &Event, actor: &str) -> String {
    let name = &plan.application.name;
    match event {
        Event::Requested {
            approval_until,
            break_glass,
        } => {
            let from = plan
                .from
                .as_ref()
                .map_or(String::new(), |from| format!(" from {from}"));
            let ask = format!("{actor} asked to bring {name}{from} back to {}", plan.to);
            match (approval_until, break_glass) {
                (Some(until), _) if plan.application.approvers > 1 => {
                    format!("{ask}; it waits for the approval of two other persons until {until}")
                }
                (Some(until), _) => {
                    format!("{ask}; it waits for another person's approval until {until}")
                }
                (None, Some(why)) => {
                    format!("{ask} and broke the glass, so nobody else approved it: {why}")
                }
                (None, None) => ask,
            }
        }
        Event::Approved { by } => format!("{by} approved the plan"),
        Event::TakenOver { crashes } => format!(
            "another worker took over (worker number {} at this step)",
            crashes + 1
        ),
        Event::Intended { effect } => intention(plan, effect),
        Event::Performed { outcome } => match outcome {
            Outcome::Done => "done".to_owned(),
            Outcome::Failed {
                failure:
                    Failure::BuildFailed
                    | Failure::SourceUnfit
                    | Failure::SourceUnreachable
                    | Failure::FrontRefused,
                said,
            } => said.clone(),
            Outcome::Failed { said, .. } => format!("the engine refused: {said}"),
            Outcome::Unknown { said } => {
                format!("not known whether it was done: {said}; looking again")
            }
        },
        Event::EngineLost { said } => format!("the engine does not answer: {said}"),
        Event::EngineBack => "the engine answers again".to_owned(),
        Event::StepDone { note, checks, .. } => match checks {
            Some(tally) => format!("{note} ({tally})"),
            None => note.clone(),
        },
        Event::StepSkipped { note, .. } => format!("skipped: {note}"),
        Event::TurnedBack { cause } => {
            format!("going back to what served before: {}", cause.sentence)
        }
        Event::CancelRefused { by, why } => format!("{by} asked to cancel; too late: {why}"),
        Event::WatchRed { said } => format!("a probe turned red: {said}"),
        Event::WatchGreen { .. } => {
            "all probes are green again; the watch window starts anew".to_owned()
        }
        Event::Ended { verdict } => verdict.sentence(plan),
    }
}

fn pinning(path: &str, variable: Option<&VariableName>, to: Option<&str>) -> String {
    match (variable, to) {
        (Some(variable), to) => {
            format!("writing {variable}={} into {path}", to.unwrap_or_default())
        }
        (None, Some(to)) => format!("writing {to} into {path}"),
        (None, None) => format!("removing {path}"),
    }
}

fn intention(plan: &Plan, effect: &Effect) -> String {
    match effect {
        Effect::TakeLock { .. } => {
            format!("taking the lock of {} on its engine", plan.application.name)
        }
        Effect::KeepImage { image } => format!("protecting image {} from clean-ups", image.short()),
        Effect::PullImage { image, reference } => {
            format!("pulling image {} as {reference}", image.short())
        }
        Effect::LoadImage { image, archive } => {
            format!("loading image {} from {}", image.short(), archive.path)
        }
        Effect::Capture {
            component,
            container,
        } => format!(
            "storing the last logs of {component} ({})",
            named(plan, container)
        ),
        Effect::CreateContainer {
            component, name, ..
        } => format!("creating container {name} of {component}"),
        Effect::StopContainer { container, grace_s } => format!(
            "stopping {}, with {grace_s} s to end by itself",
            named(plan, container)
        ),
        Effect::StartContainer { container, .. } => format!("starting {}", named(plan, container)),
        Effect::RenameContainer { container, name } => {
            format!("renaming {} to {name}", named(plan, container))
        }
        Effect::RemoveContainer { container } => {
            format!("removing {}; its volumes stay", named(plan, container))
        }
        Effect::WritePin {
            path, variable, to, ..
        } => pinning(path, variable.as_ref(), to.as_deref()),
        Effect::PutBackPin { path } => format!("putting back what {path} was before"),
        Effect::Build { component } => format!("building {component} {}", plan.to),
        Effect::DropBuild { component } => format!("removing what the build of {component} left"),
        Effect::SetStage { company, .. } => match company.len() {
            0 => "making the stage, an internal network".to_owned(),
            count => {
                format!("making the stage, an internal network, for the target and {count} others")
            }
        },
        Effect::EnterStage { container, .. } => {
            format!("starting {} on the stage", named(plan, container))
        }
        Effect::LeaveStage { container, .. } => {
            format!("stopping {} on the stage", named(plan, container))
        }
        Effect::ClearStage { .. } => "removing the stage".to_owned(),
        Effect::HandOver { from, to, .. } => match from {
            Some(from) => format!(
                "moving networks and ports from {} to {}",
                named(plan, from),
                named(plan, to)
            ),
            None => format!("connecting {} where it belongs", named(plan, to)),
        },
        Effect::PointFront {
            component,
            server,
            to,
        } => format!("sending the clients of {component} ({server}) to {to}"),
        Effect::Record => "writing the rollback into the ledger".to_owned(),
        Effect::Together { effects } => intentions(plan, effects),
    }
}

fn intentions(plan: &Plan, effects: &[Effect]) -> String {
    let acts: Vec<String> = effects
        .iter()
        .map(|effect| intention(plan, effect))
        .collect();
    acts.join("; ")
}

/// A former container by its name; one that the rollback made itself by its id, which no plan knows.
fn named(plan: &Plan, container: &ContainerId) -> String {
    let swap = plan.swaps.iter().find(|swap| swap.former == *container);
    swap.map_or_else(
        || format!("container {}", container.short()),
        |swap| swap.name.clone(),
    )
}
