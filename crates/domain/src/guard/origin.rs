//! Guards on where a message comes from and what it is about.

use super::{Facts, Guard, GuardAnswer};
use crate::{
    seen::Seen,
    trigger::trust::{Doubt, Mode, TrustTier},
};

pub(super) fn mode(facts: &Facts) -> GuardAnswer {
    let guard = Guard::TriggerMode;
    let trigger = &facts.trigger;
    let said = |what: &str| format!("the trigger {} {what}", trigger.name);
    let next = format!(
        "set its mode once you trust it: `sternway triggers mode {} auto`",
        trigger.name
    );
    let answer = match trigger.mode {
        Mode::Auto => GuardAnswer::pass(guard, said("may start rollbacks")),
        Mode::Shadow => GuardAnswer::ask(
            guard,
            said("is tried out: nothing is done on its word"),
            next,
        ),
        Mode::Propose => {
            GuardAnswer::ask(guard, said("may propose rollbacks, not start them"), next)
        }
        Mode::Record => GuardAnswer::refuse(guard, said("is only recorded"), next),
        Mode::Off => GuardAnswer::refuse(guard, said("is off"), next),
    };
    answer.with("mode", trigger.mode.word())
}

pub(super) fn trust(facts: &Facts) -> GuardAnswer {
    let guard = Guard::TrustTier;
    let (tier, name) = (facts.trigger.trust, &facts.trigger.name);
    let look = "look, and accept the proposal or not";
    let answer = match (tier, facts.trigger.doubt) {
        (TrustTier::Signed, _) => GuardAnswer::pass(guard, "the message is signed"),
        (TrustTier::Address | TrustTier::Bearer, Some(Doubt::Lowered)) => GuardAnswer::ask(
            guard,
            format!(
                "{name} is set to be trusted no further than `{}`",
                tier.word()
            ),
            format!("{look}; its definition's `trust` says how far it is trusted"),
        ),
        (TrustTier::Address | TrustTier::Bearer, Some(Doubt::Untimed)) => GuardAnswer::ask(
            guard,
            "the message is signed, but for no time of its own: whoever read it once can send it again",
            format!("{look}; a sender that can sign a time says so in `settings.timestamp_header`"),
        ),
        (TrustTier::Bearer, Some(Doubt::Unsigned) | None) => GuardAnswer::ask(
            guard,
            "the message carries a shared secret, and its content is not signed",
            format!("let the sender sign its messages; until then {look}"),
        ),
        (TrustTier::Address, Some(Doubt::Unsigned) | None) => GuardAnswer::ask(
            guard,
            "nothing but the address shows whom the message comes from",
            format!("let the sender sign its messages; until then {look}"),
        ),
    };
    answer.with("tier", tier.word())
}

pub(super) fn own_alert(facts: &Facts) -> GuardAnswer {
    let guard = Guard::OwnAlert;
    if facts.alert.ours {
        return GuardAnswer::refuse(
            guard,
            "this alert was raised by Sternway itself",
            "nothing: it was raised so that a person looks",
        );
    }
    GuardAnswer::pass(guard, "the alert is not one of our own")
}

pub(super) fn application(facts: &Facts) -> GuardAnswer {
    let guard = Guard::Application;
    let service = facts.alert.service.as_deref().unwrap_or("no service");
    let next = "map it to an application in the trigger";
    match &facts.application {
        Seen::Known(subject) => {
            let name = &subject.name;
            GuardAnswer::pass(guard, format!("it is about {name}")).with("application", name)
        }
        Seen::Absent => {
            let what = format!("the alert names {service}, which is none of our applications");
            GuardAnswer::refuse(guard, what, next)
        }
        Seen::Unknown(why) => {
            let what = format!("it can not be said which application is meant: {why}");
            GuardAnswer::refuse(guard, what, next)
        }
    }
}
