//! How a command ended, as the number that scripts see. One table; `sternway help exit-codes` prints it.

use domain::verdict::{CauseCode, Verdict};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is so; a rollback was reached and verified.
    Reached = 0,
    /// We are at fault.
    Internal = 1,
    /// The call is wrong.
    Usage = 2,
    /// What it is about does not exist.
    NotFound = 3,
    /// The caller may not.
    NotAllowed = 4,
    /// The world is not as it has to be for this.
    Conflict = 5,
    /// It ran, and nobody can say that it serves.
    NotVerified = 6,
    /// It did not go through; what served before serves.
    Restored = 7,
    /// A person's yes is missing.
    WaitsForApproval = 8,
    /// A person said no.
    Cancelled = 9,
    /// Data would be lost and nobody accepted that.
    DataLossNotConfirmed = 10,
    /// The server, or what it needs, does not answer.
    Unreachable = 69,
    /// `--timeout` passed; what runs goes on.
    TimedOut = 124,
    /// Ctrl-C; what runs goes on.
    Detached = 130,
}

/// Every exit code with its meaning.
pub const TABLE: [(Exit, &str); 14] = [
    (
        Exit::Reached,
        "done; a rollback: reached and verified (with --detach: accepted)",
    ),
    (Exit::Internal, "internal error"),
    (Exit::Usage, "wrong call: an argument is missing or wrong"),
    (
        Exit::NotFound,
        "not found: no such application, version, rollback, ...",
    ),
    (
        Exit::NotAllowed,
        "not allowed: no token, or one that may not do this",
    ),
    (
        Exit::Conflict,
        "conflict: another rollback runs, the world moved, a release is held, or a blocker stands in the way",
    ),
    (
        Exit::NotVerified,
        "it ran, but the application is not verified healthy: a person has to look",
    ),
    (
        Exit::Restored,
        "it did not go through, and the former version is serving",
    ),
    (Exit::WaitsForApproval, "it waits for approval"),
    (Exit::Cancelled, "cancelled or rejected"),
    (
        Exit::DataLossNotConfirmed,
        "the confirmation of a data loss is missing",
    ),
    (
        Exit::Unreachable,
        "the server (or the engine behind it) can not be reached",
    ),
    (Exit::TimedOut, "--timeout passed; what was started goes on"),
    (Exit::Detached, "Ctrl-C; what was started goes on"),
];

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// How a rollback with this verdict ends the command that waited for it.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::RolledBack { .. } => Self::Reached,
            Verdict::Restored { .. } => Self::Restored,
            Verdict::Cancelled { .. } => Self::Cancelled,
            Verdict::NeedsHuman { .. } => Self::NotVerified,
            Verdict::Refused { cause } => Self::of_refusal(cause.code),
        }
    }

    /// A refused rollback changed nothing: either the world was not as planned, or a way was missing.
    fn of_refusal(code: CauseCode) -> Self {
        match code {
            CauseCode::Drifted
            | CauseCode::LockedElsewhere
            | CauseCode::NameTaken
            | CauseCode::PortTaken
            | CauseCode::SourceUnfit
            | CauseCode::Superseded => Self::Conflict,
            CauseCode::Cancelled | CauseCode::NotApproved => Self::Cancelled,
            CauseCode::EngineUnreachable
            | CauseCode::ImageMissing
            | CauseCode::Architecture
            | CauseCode::BindSourceMissing
            | CauseCode::NetworkMissing
            | CauseCode::VolumeMissing
            | CauseCode::SpecificationMissing
            | CauseCode::DiskFull
            | CauseCode::BalancerUnreachable
            | CauseCode::BalancerUnfit
            | CauseCode::SourceUnreachable
            | CauseCode::BuildFailed
            | CauseCode::EngineRefused
            | CauseCode::DeadlinePassed
            | CauseCode::ProofFailed
            | CauseCode::WatchFailed
            | CauseCode::StepCrashes => Self::Restored,
        }
    }

    /// How an HTTP status of the server ends the command that got it.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::NotAllowed,
            404 | 410 => Self::NotFound,
            409 | 412 | 423 => Self::Conflict,
            429 | 502..=504 => Self::Unreachable,
            400..=499 => Self::Usage,
            _ => Self::Internal,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as text.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("Exit codes of every command:\n\n");
    for (exit, meaning) in TABLE {
        text.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::verdict::Cause;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let numbers: Vec<u8> = TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 69, 124, 130]);
        assert!(table().contains("  124  --timeout passed"));
    }

    #[test]
    fn only_a_proved_rollback_ends_with_zero() {
        let cause = |code| Cause::new(code, "because");
        let ends = [
            (
                Verdict::RolledBack {
                    good: false,
                    notes: vec![],
                },
                0,
            ),
            (
                Verdict::Restored {
                    cause: cause(CauseCode::ProofFailed),
                },
                7,
            ),
            (
                Verdict::Refused {
                    cause: cause(CauseCode::Drifted),
                },
                5,
            ),
            (
                Verdict::Refused {
                    cause: cause(CauseCode::DiskFull),
                },
                7,
            ),
            (
                Verdict::Cancelled {
                    cause: cause(CauseCode::NotApproved),
                },
                9,
            ),
            (
                Verdict::NeedsHuman {
                    cause: cause(CauseCode::StepCrashes),
                    production: "?".to_owned(),
                },
                6,
            ),
        ];
        for (verdict, code) in ends {
            assert_eq!(Exit::of_verdict(&verdict).code(), code, "{verdict:?}");
        }
    }

    #[test]
    fn every_status_of_the_server_has_its_code() {
        let codes = [400, 401, 403, 404, 409, 412, 422, 428, 429, 500, 503]
            .map(|s| Exit::of_status(s).code());
        assert_eq!(codes, [2, 4, 4, 3, 5, 5, 2, 2, 69, 1, 69]);
    }
}
