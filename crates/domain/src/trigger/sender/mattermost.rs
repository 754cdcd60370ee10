//! Mattermost's slash commands: nothing is signed, each command has a token of its own that is sent along.

use crate::trigger::{
    Headers,
    verify::{Refusal, shown},
};

pub(crate) fn verify(secrets: &[&str], headers: &Headers) -> Result<(), Refusal> {
    shown(secrets, headers, "token")
}

/// A command without the token that it came with: that is sealed elsewhere, and a backup must not tell it.
pub(crate) fn kept(body: &[u8]) -> Vec<u8> {
    let fields = form_urlencoded::parse(body).filter(|(name, _)| name != "token");
    let kept = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    kept.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_command_has_no_token() {
        let body = b"channel_id=c&token=gr5x&text=shop+1.4%2B2&token=again&user_id=u";
        assert_eq!(kept(body), b"channel_id=c&text=shop+1.4%2B2&user_id=u");
    }
}
