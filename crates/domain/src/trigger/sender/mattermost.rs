//! Mattermost's slash commands: nothing is signed, each command has a token of its own that is sent along.

use crate::trigger::{
    Headers,
    verify::{Refusal, shown},
};

pub(crate) fn verify(secrets: &[&str], headers: &Headers) -> Result<(), Refusal> {
    shown(secrets, headers, "token")
}
