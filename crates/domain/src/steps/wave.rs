//! One step of several components that need nothing of each other: what each of them wants next is done at the same
//! time, so that they boot at the same time.

use serde::{Deserialize, Serialize};

use super::{Ctx, Next, Step, create, stage};
use crate::{effect::Effect, name::ComponentName, plan::Plan, time::Millis, verdict::Cause};

/// Most acts that an engine is given at once: a start makes it work for a fifth of a second, and the one with the
/// longest name in the queue should not wait for more of them than a person would.
const TOGETHER_MAX: usize = 8;
/// Who waits for its turn is asked again when the others have acted, at the latest then.
const LOOK_AGAIN: Millis = Millis(5);
/// Most components that a title names.
const TITLE_NAMES_MAX: usize = 3;

/// What the components of a wave do: each is a step of its own where a component is alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// [`Step::Create`].
    Create,
    /// [`Step::Stage`].
    Stage,
    /// [`Step::Raise`].
    Raise,
    /// [`Step::Switch`].
    Switch,
}

impl Act {
    /// The step of one component.
    #[must_use]
    pub fn of(self, component: ComponentName) -> Step {
        match self {
            Self::Create => Step::Create { component },
            Self::Stage => Step::Stage { component },
            Self::Raise => Step::Raise { component },
            Self::Switch => Step::Switch { component },
        }
    }

    /// The step of several; none of nobody.
    #[must_use]
    pub fn of_all(self, mut components: Vec<ComponentName>) -> Option<Step> {
        match components.len() {
            0 => None,
            1 => components.pop().map(|component| self.of(component)),
            _ => Some(Step::Wave {
                act: self,
                components,
            }),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Stage => "stage",
            Self::Raise => "raise",
            Self::Switch => "switch",
        }
    }
}

impl Step {
    /// Which of these acts it is, and of which components; none of any other step.
    pub(crate) fn act(&self) -> Option<(Act, &[ComponentName])> {
        let (act, component) = match self {
            Self::Wave { act, components } => return Some((*act, components)),
            Self::Create { component } => (Act::Create, component),
            Self::Stage { component } => (Act::Stage, component),
            Self::Raise { component } => (Act::Raise, component),
            Self::Switch { component } => (Act::Switch, component),
            Self::Check
            | Self::Build { .. }
            | Self::Lock
            | Self::Supply
            | Self::Keep
            | Self::Capture
            | Self::Pin
            | Self::Handover { .. }
            | Self::Point { .. }
            | Self::Prove
            | Self::Record
            | Self::Retire => return None,
        };
        Some((act, std::slice::from_ref(component)))
    }
}

/// The steps of one component each.
pub(crate) fn parts(act: Act, components: &[ComponentName]) -> impl Iterator<Item = Step> {
    components.iter().cloned().map(move |one| act.of(one))
}

pub(super) fn title(act: Act, components: &[ComponentName]) -> String {
    let named: Vec<&str> = components
        .iter()
        .take(TITLE_NAMES_MAX)
        .map(ComponentName::as_str)
        .collect();
    let named = named.join(", ");
    match components.len().saturating_sub(TITLE_NAMES_MAX) {
        0 => format!("{} {named}", act.word()),
        more => format!("{} {named} and {more} more", act.word()),
    }
}

pub(super) fn explain(plan: &Plan, act: Act, components: &[ComponentName]) -> String {
    if act == Act::Create {
        return create::explain_all(plan, components);
    }
    let sentences: Vec<String> = parts(act, components)
        .map(|part| part.explain(plan))
        .collect();
    let how = match act {
        Act::Switch => "Together, one stop at a time:",
        Act::Create | Act::Stage | Act::Raise => "At the same time:",
    };
    format!("{how} {}", sentences.join(" "))
}

/// One that can not reach its goal ends the wave: the run turns, and whoever was under way is brought back with the
/// others. On the stage only a target that is bad wherever it runs does; the others are waited for.
pub(super) fn forward(ctx: &Ctx<'_>, act: Act, components: &[ComponentName]) -> Next {
    let ends_the_wave = |component: &ComponentName| match act {
        Act::Stage => stage::is_the_targets_own_fault(ctx, component),
        Act::Create | Act::Raise | Act::Switch => true,
    };
    let mut wants = Vec::with_capacity(components.len());
    for component in components {
        match act.of(component.clone()).forward(ctx) {
            Next::Fail(cause) if ends_the_wave(component) => return Next::Fail(cause),
            next @ (Next::Do(_) | Next::Done(_) | Next::Wait(_) | Next::Fail(_)) => {
                wants.push(next);
            }
        }
    }
    together(one_stop(act, wants))
}

/// Whoever can be brought back is, before a person is called for the others.
pub(super) fn backward(ctx: &Ctx<'_>, act: Act, components: &[ComponentName]) -> Next {
    let wants = parts(act, components).map(|part| part.backward(ctx));
    together(one_stop(act, wants.collect()))
}

/// The replicas that the present step is about; those of `component` when that is alone in it.
pub(super) fn replicas(ctx: &Ctx<'_>, component: &ComponentName) -> usize {
    let of = |component| ctx.plan.swaps_of(component).count();
    let Some(Step::Wave { components, .. }) = ctx.run.step(ctx.plan) else {
        return of(component);
    };
    components.iter().map(of).sum()
}

/// What is done together ends together: who has stopped would wait for the one that ignores its signal. So one stops at
/// a time, while those before it start and boot: each is gone for its own stop and start, and no longer.
fn one_stop(act: Act, mut wants: Vec<Next>) -> Vec<Next> {
    match act {
        Act::Create | Act::Stage | Act::Raise => return wants,
        Act::Switch => {}
    }
    let mut stops = false;
    for want in &mut wants {
        if matches!(want, Next::Do(Effect::StopContainer { .. }))
            && std::mem::replace(&mut stops, true)
        {
            *want = Next::Wait(LOOK_AGAIN);
        }
    }
    wants
}

/// The components that are not where the wave should bring them, each with the cause that it says itself.
pub(crate) fn behind(
    ctx: &Ctx<'_>,
    act: Act,
    components: &[ComponentName],
    forward: bool,
) -> Vec<(ComponentName, Option<Cause>)> {
    let next = |part: Step| match forward {
        true => part.forward(ctx),
        false => part.backward(ctx),
    };
    let why = |component: &ComponentName| match next(act.of(component.clone())) {
        Next::Done(_) => None,
        Next::Fail(cause) => Some((component.clone(), Some(cause))),
        Next::Do(_) | Next::Wait(_) => Some((component.clone(), None)),
    };
    components.iter().filter_map(why).collect()
}

/// What everybody wants, as one: acts before waiting, waiting before giving up.
fn together(wants: Vec<Next>) -> Next {
    let (mut acts, mut notes) = (Vec::new(), Vec::new());
    let (mut pause, mut cause): (Option<Millis>, Option<Cause>) = (None, None);
    for want in wants {
        match want {
            Next::Do(effect) => acts.push(effect),
            Next::Done(note) => notes.push(note),
            Next::Wait(wait) => pause = Some(pause.map_or(wait, |known| known.min(wait))),
            Next::Fail(why) => cause = cause.or(Some(why)),
        }
    }
    acts.truncate(TOGETHER_MAX);
    if let Some(act) = Effect::together(acts) {
        return Next::Do(act);
    }
    match (pause, cause) {
        (Some(pause), _) => Next::Wait(pause),
        (None, Some(cause)) => Next::Fail(cause),
        (None, None) => Next::Done(notes.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::CauseCode;

    fn stop(number: u8) -> Effect {
        Effect::StopContainer {
            container: format!("{number:064x}").parse().unwrap(),
            grace_s: 1,
        }
    }

    fn no() -> Next {
        Next::Fail(Cause::new(CauseCode::Drifted, "gone"))
    }

    fn done(note: &str) -> Next {
        Next::Done(note.to_owned())
    }

    #[test]
    fn acts_come_before_waiting_and_waiting_before_giving_up() {
        let all = vec![
            no(),
            Next::Wait(Millis(50)),
            Next::Do(stop(1)),
            done("a"),
            Next::Wait(Millis(5)),
            Next::Do(stop(2)),
        ];
        let both = Effect::Together {
            effects: vec![stop(1), stop(2)],
        };
        assert_eq!(together(all.clone()), Next::Do(both));
        let waits = [0, 1, 3, 4].map(|at| all[at].clone());
        assert_eq!(together(waits.to_vec()), Next::Wait(Millis(5)));
        assert_eq!(together(vec![done("a"), no()]), no());
        assert_eq!(together(vec![done("a"), done("b")]), done("a; b"));
    }

    /// A stop can last its whole grace, and nobody else's start waits for it.
    #[test]
    fn one_stops_at_a_time_while_the_others_start() {
        let start = Effect::StartContainer {
            container: "ab".repeat(32).parse().unwrap(),
            restart: None,
        };
        let wants = || {
            vec![
                Next::Do(start.clone()),
                Next::Do(stop(1)),
                Next::Do(stop(2)),
            ]
        };
        let one = Effect::Together {
            effects: vec![start.clone(), stop(1)],
        };
        assert_eq!(together(one_stop(Act::Switch, wants())), Next::Do(one));
        let all = Effect::Together {
            effects: vec![start.clone(), stop(1), stop(2)],
        };
        assert_eq!(together(one_stop(Act::Stage, wants())), Next::Do(all));
    }

    #[test]
    fn what_several_want_alike_is_done_once() {
        let alike = vec![Next::Do(stop(1)), Next::Do(stop(1))];
        assert_eq!(together(alike), Next::Do(stop(1)));
    }

    #[test]
    fn an_engine_is_given_so_many_acts_at_once_and_the_others_next() {
        let many = (0..20).map(|number| Next::Do(stop(number))).collect();
        let Next::Do(Effect::Together { effects }) = together(many) else {
            panic!("several acts");
        };
        assert_eq!(effects.len(), TOGETHER_MAX);
    }

    #[test]
    fn a_title_stays_short() {
        let named = |names: &[&str]| -> Vec<ComponentName> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        assert_eq!(title(Act::Create, &named(&["a", "b"])), "create a, b");
        let five = named(&["a", "b", "c", "d", "e"]);
        assert_eq!(title(Act::Switch, &five), "switch a, b, c and 2 more");
    }
}
