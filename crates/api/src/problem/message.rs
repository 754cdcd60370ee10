//! Problems with messages of other systems. The status is what the sender's own rules for trying again ask for.

use domain::trigger::verify::Refusal;

use super::{Code, Problem};

impl Problem {
    pub(crate) fn message_refused(refusal: Refusal, status: u16) -> Self {
        let detail = format!(
            "the message is not believed ({}): {refusal}",
            refusal.code()
        );
        let next = match refusal {
            Refusal::NoSecret => "give the trigger its secret: `sternway triggers rotate NAME`",
            Refusal::TimeMissing | Refusal::TimeOff => {
                "compare the clocks, and the trigger's settings with the sender's"
            }
            Refusal::Missing | Refusal::Malformed | Refusal::Wrong | Refusal::Empty => {
                "compare the sender's secret with the trigger's: `sternway triggers explain NAME -f FILE` takes a message and says more"
            }
        };
        Self {
            status,
            ..Self::new(Code::MessageRefused, detail)
        }
        .next(next)
    }

    pub(crate) fn message_not_kept(why: &str) -> Self {
        Self::new(
            Code::MessageNotKept,
            format!("the message was not kept: {why}"),
        )
        .next("send it again: told twice, an event counts once")
        .try_again()
    }
}
