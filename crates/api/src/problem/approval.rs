//! Problems with a yes or a no that comes too late.

use domain::{name::RollbackId, time::Moment};

use super::{Code, Problem};

impl Problem {
    pub(crate) fn approval_not_awaited(rollback: RollbackId, phase: &str) -> Self {
        let detail = format!("rollback {rollback} waits for no approval: it is {phase}");
        Self {
            rollback_id: Some(rollback),
            ..Self::new(Code::ApprovalNotAwaited, detail)
        }
    }

    /// A worker that is away has not ended it yet: that is no reason to start it.
    pub(crate) fn approval_over(rollback: RollbackId, until: Moment) -> Self {
        let detail =
            format!("rollback {rollback} could be approved until {until}: that time is over");
        Self {
            rollback_id: Some(rollback),
            ..Self::new(Code::ApprovalNotAwaited, detail)
        }
        .next("make a new plan and ask for that one")
        .production("Nothing was changed: what runs goes on serving.")
    }
}
