//! How many persons have to approve a rollback.

use super::{Application, BadField};

pub(super) fn one() -> u8 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
pub(super) fn is_one(number: &u8) -> bool {
    *number == 1
}

pub(super) fn check(application: &Application, bad: &mut Vec<BadField>) {
    if !(1..=2).contains(&application.approvers) {
        bad.push(BadField::new("approvers", "use 1 or 2"));
    }
    if application.approvers > 1 && !application.approval {
        let what = "set `approval` as well: without it nobody is asked";
        bad.push(BadField::new("approvers", what));
    }
}
