//! What a chat sends asks for what it says, or for nothing; answers go nowhere but to the chat's own host.

#![no_main]

use domain::{
    chat::{
        command::{challenge, heard, is_click, is_probe},
        may_answer,
    },
    trigger::Kind,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = is_click(body);
    for kind in [Kind::Slack, Kind::Mattermost] {
        let _ = is_probe(kind, body);
        assert!(challenge(kind, body).is_none_or(|said| said.len() <= 256));
        let Ok(heard) = heard(kind, body) else {
            continue;
        };
        assert!((1..=80).contains(&heard.user.as_str().len()));
        for url in heard.reply_to.iter().filter(|url| may_answer(None, url)) {
            assert!(url.starts_with("https://hooks.slack.com/"), "{url}");
        }
    }
});
