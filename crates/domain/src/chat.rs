//! Rollbacks from a chat: what a person asks there, and what is shown there. All of it is data and pure functions; who
//! may do what is decided where it is for every client.

pub mod card;
pub mod command;
pub mod notice;
pub mod slack;

use crate::address;

/// Longest identity of a channel.
const CHANNEL_CHARS_MAX: usize = 64;
/// Longest address of a chat.
const BASE_CHARS_MAX: usize = 200;
/// Where Slack's own Web API is.
pub const SLACK: &str = "https://slack.com";
/// Where Slack takes answers to one command or click.
const SLACK_HOOKS: &str = "https://hooks.slack.com/";

/// Whether it is the identity of a channel.
#[must_use]
pub fn is_channel(text: &str) -> bool {
    (1..=CHANNEL_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether it is the address of a chat: a token is sent there, so it is sealed on its way unless it leaves no machine.
#[must_use]
pub fn is_base(url: &str) -> bool {
    let loopback = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        ["127.0.0.1", "localhost", "[::1]"].contains(&name)
    };
    url.len() <= BASE_CHARS_MAX
        && match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(host), _) => address::is_host(host),
            (None, Some(host)) => address::is_host(host) && loopback(host),
            (None, None) => false,
        }
}

/// Whether an answer may be sent to this address, which came with a message: only to the chat itself.
#[must_use]
pub fn may_answer(base: Option<&str>, url: &str) -> bool {
    let home = match base {
        None => SLACK_HOOKS.to_owned(),
        Some(base) => format!("{base}/"),
    };
    url.len() <= 2000 && url.starts_with(&home) && url.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_to_the_chat_and_nowhere_else() {
        let slack = "https://hooks.slack.com/commands/T1/2/abc";
        assert!(may_answer(None, slack));
        for elsewhere in [
            "https://hooks.slack.com.evil.example/x",
            "https://hooks.slack.com@evil.example/",
            "http://hooks.slack.com/x",
            "http://169.254.169.254/latest",
            "https://hooks.slack.com/a b",
        ] {
            assert!(!may_answer(None, elsewhere), "{elsewhere}");
        }
        let own = Some("https://chat.example");
        assert!(may_answer(own, "https://chat.example/hooks/commands/x"));
        assert!(!may_answer(own, "https://chat.example.evil/x"));
        assert!(!may_answer(own, slack));
    }

    #[test]
    fn a_token_leaves_this_machine_sealed_or_not_at_all() {
        for fit in [
            "https://slack.com",
            "https://chat.example:8443",
            "http://127.0.0.1:9",
            "http://localhost:9",
            "http://[::1]:9",
        ] {
            assert!(is_base(fit), "{fit}");
        }
        for unfit in [
            "http://slack.com",
            "https://",
            "https://a/b",
            "https://a@b",
            "ftp://a",
            "http://127.0.0.1.evil.example",
            "",
        ] {
            assert!(!is_base(unfit), "{unfit}");
        }
    }
}
