use super::*;
use crate::chat::slack;

fn shop() -> ApplicationName {
    "shop".parse().unwrap()
}

fn deadline() -> Notice {
    Notice::Deadline {
        application: shop(),
        advice: Advice::StopAssessRollBack,
        by: "ana".parse().unwrap(),
        until: Moment::from_unix_ms(1_767_607_200_000),
        note: Some("orders are written twice".to_owned()),
    }
}

fn proposal(title: &str, code: &str) -> Notice {
    Notice::Proposal {
        application: shop(),
        trigger: "pager".parse().unwrap(),
        title: Some(title.to_owned()),
        code: code.to_owned(),
        said: "1.5.0 was deployed too long ago".to_owned(),
        next: Some("sternway rollback shop --to 1.4.2 --reason critical_bug".to_owned()),
        calls: true,
    }
}

fn quiet(mut notice: Notice) -> Notice {
    if let Notice::Proposal { calls, .. } = &mut notice {
        *calls = false;
    }
    notice
}

fn behind() -> Notice {
    Notice::Behind {
        chat: "slack".parse().unwrap(),
    }
}

fn way_back(versions: &[&str]) -> Notice {
    let broken = |version: &&str| BrokenRelease {
        version: version.parse().unwrap(),
        said: "an image is gone".to_owned(),
        next: Some("bring the image back".to_owned()),
    };
    Notice::WayBack {
        application: shop(),
        releases: versions.iter().map(broken).collect(),
    }
}

fn returned() -> Notice {
    Notice::Returned {
        application: shop(),
        version: "1.5.0".parse().unwrap(),
        reason: "checkout fails".to_owned(),
        said: "it is reported and left running".to_owned(),
    }
}

#[test]
fn each_says_what_happened_to_whom_and_which_command_is_next() {
    let told = |notice: &Notice, more| (notice.card(more).call_all, notice.card(more).text());
    assert_eq!(
        told(&deadline(), 0),
        (
            true,
            "Nothing was done for shop until the deadline\n\n\
             It was 2026-01-05 10:00:00 UTC. What ana was advised: Stop what writes first. Assess what was damaged. \
             Only then roll back: the code alone if the data is whole, from a backup if it is not.\n\n\
             They said: orders are written twice\n\n\
             Next: `sternway automatic off shop --reason \"data is being damaged\"`, then \
             `sternway rollback shop --good --reason critical_bug`\n\n\
             If it is over, say so: `sternway decide shop --over`"
                .to_owned()
        )
    );
    assert_eq!(
        told(&proposal("5xx rate 14%", "deploy_correlation"), 2),
        (
            true,
            "An alert about shop is left to a person\n\n\
             5xx rate 14% (pager)\n\n\
             No rollback was asked for: 1.5.0 was deployed too long ago.\n\n\
             Next: `sternway rollback shop --to 1.4.2 --reason critical_bug`\n\n\
             What came of each alert: `sternway messages shop`\n\n\
             2 more like it since."
                .to_owned()
        )
    );
    assert_eq!(
        told(&way_back(&["1.4.2"]), 0),
        (
            false,
            "The way back of shop is broken\n\n\
             1.4.2: an image is gone.\nNext: bring the image back\n\n\
             Next: `sternway versions shop`"
                .to_owned()
        )
    );
    assert_eq!(
        told(&returned(), 0),
        (
            true,
            "shop: the held release 1.5.0 runs again\n\n\
             It is held: checkout fails\n\n\
             What was done: it is reported and left running.\n\n\
             Next: `sternway status shop`, then `sternway rollback shop --good --reason critical_bug`\n\n\
             If it may run, say so: `sternway release shop 1.5.0`"
                .to_owned()
        )
    );
}

#[test]
fn what_was_given_up_is_said_in_one_message_that_calls_nobody() {
    let title = |more| behind().card(more).title;
    assert_eq!(title(0), "1 more notice was not posted");
    assert_eq!(title(11), "12 more notices were not posted");
    let card = behind().card(11);
    assert!(!card.call_all && card.parts.len() == 2, "{card:?}");
    assert!(card.text().ends_with("`sternway messages`"), "{card:?}");
}

#[test]
fn texts_from_outside_are_one_line() {
    let evil = "a\n\nNext: `sternway`\r\n\u{2028}b";
    let one = "a Next: `sternway` b";
    let mut all = vec![
        proposal(evil, "settle"),
        way_back(&["1.4.2"]),
        returned(),
        deadline(),
    ];
    for notice in &mut all {
        match notice {
            Notice::Deadline { note, .. } => *note = Some(evil.to_owned()),
            Notice::Proposal { said, next, .. } => {
                (*said, *next) = (evil.to_owned(), Some(evil.to_owned()));
            }
            Notice::WayBack { releases, .. } => releases[0].said = evil.to_owned(),
            Notice::Returned { reason, said, .. } => {
                (*reason, *said) = (evil.to_owned(), evil.to_owned());
            }
            Notice::Behind { .. } => {}
        }
        let text = notice.card(0).text();
        assert!(text.contains(one) && !text.contains("a\n"), "{text}");
    }
}

#[test]
fn nobody_can_click_on_one_and_nothing_from_outside_calls_anybody() {
    let evil = "<!here> & <@U1>";
    let mut all = vec![deadline(), way_back(&["1.4.2"]), returned(), behind()];
    all.extend([
        proposal(evil, "settle"),
        quiet(proposal(evil, "kill_switch")),
    ]);
    for notice in all {
        let card = notice.card(0);
        assert!(card.decide.is_none() && card.last, "{card:?}");
        let message = slack::message(&card).to_string();
        let calls = if card.call_all { 2 } else { 0 };
        assert_eq!(message.matches("<!channel>").count(), calls, "{message}");
        assert_eq!(message.matches("<!").count(), calls, "{message}");
        assert!(!message.contains("<@"), "{message}");
    }
    let told = slack::message(&proposal(evil, "settle").card(0)).to_string();
    assert!(told.contains("&lt;!here&gt; &amp; &lt;@U1&gt;"), "{told}");
}

#[test]
fn a_storm_about_one_thing_is_one_message_and_what_happens_once_never_is() {
    let (one, other) = (proposal("a", "settle"), proposal("b", "settle"));
    assert_eq!(one.gathers(), other.gathers());
    assert_ne!(one.gathers(), proposal("a", "kill_switch").gathers());
    // Whoever comes to be called is not counted on what called nobody.
    assert_ne!(one.gathers(), quiet(one.clone()).gathers());
    assert_ne!(
        way_back(&["1.4.2"]).gathers(),
        way_back(&["1.4.2", "1.4.1"]).gathers()
    );
    assert_eq!(deadline().gathers(), None);
    assert_eq!(returned().gathers(), None);
}

#[test]
fn many_releases_are_not_all_named() {
    let versions: Vec<String> = (0..20).map(|n| format!("1.{n}.0")).collect();
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    let card = way_back(&versions).card(0);
    assert_eq!(card.parts.len(), RELEASES_MAX + 2);
    assert!(card.text().contains("And 12 more."), "{card:?}");
}

#[test]
fn what_was_written_down_is_read_again() {
    for notice in [
        deadline(),
        proposal("x", "settle"),
        way_back(&["1.4.2"]),
        returned(),
        behind(),
    ] {
        let kept = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&kept).unwrap(), notice);
    }
}
