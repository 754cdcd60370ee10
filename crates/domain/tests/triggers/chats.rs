//! What Slack and Mattermost post, with every field that they have.

use domain::{
    chat::command::{Asked, Heard, challenge, heard, is_click, is_probe},
    trigger::{Kind, message::kept},
};
use serde_json::{Value, json};

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields).finish().into_bytes()
}

fn click(payload: &Value) -> Result<Heard, String> {
    let body = form(&[("payload", &payload.to_string())]);
    assert!(is_click(&body));
    heard(Kind::Slack, &body)
}

const COMMAND: [(&str, &str); 15] = [
    ("token", "gIkuvaNzQIHg97ATvDxqgjtP"),
    ("team_id", "T0001"),
    ("team_domain", "acme"),
    ("enterprise_id", "E0001"),
    ("enterprise_name", "Acme%20Inc"),
    ("channel_id", "C2147483705"),
    ("channel_name", "privategroup"),
    ("user_id", "U2147483697"),
    ("user_name", "steve"),
    ("command", "/rollback"),
    ("text", "shop 1.4.2 performance 94 % slower & <worse>"),
    ("api_app_id", "A123456"),
    ("is_enterprise_install", "false"),
    (
        "response_url",
        "https://hooks.slack.com/commands/T0001/1/abc",
    ),
    ("trigger_id", "13345224609.738474920.8088930838d88f008e0"),
];

#[test]
fn slack_a_command_with_all_of_its_fields() {
    let heard = heard(Kind::Slack, &form(&COMMAND)).unwrap();
    assert_eq!(
        (heard.user.as_str(), heard.channel.as_str()),
        ("T0001.U2147483697", "C2147483705")
    );
    assert_eq!(
        heard.reply_to.as_deref(),
        Some("https://hooks.slack.com/commands/T0001/1/abc")
    );
    match heard.asked {
        Asked::Plan {
            application, note, ..
        } => {
            assert_eq!(application.as_str(), "shop");
            assert_eq!(note.as_deref(), Some("94 % slower & <worse>"));
        }
        other => panic!("{other:?}"),
    }
    // A probe has a command's token and nothing to be done.
    assert!(is_probe(
        Kind::Slack,
        &form(&[("ssl_check", "1"), ("token", "gIkuvaNzQIHg97ATvDxqgjtP")])
    ));
    assert!(!is_probe(Kind::Slack, &form(&COMMAND)));
    let mut both = COMMAND.to_vec();
    both.push(("ssl_check", "1"));
    assert!(
        !is_probe(Kind::Slack, &form(&both)),
        "it would let a command in without its signature"
    );
}

#[test]
fn slack_trying_an_address_is_told_what_it_said() {
    let trial = json!({"token": "Jhj5", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "type": "url_verification"});
    let said = challenge(Kind::Slack, trial.to_string().as_bytes());
    assert_eq!(said.as_deref(), trial["challenge"].as_str());
    let mut other = trial.clone();
    other["type"] = json!("event_callback");
    assert_eq!(challenge(Kind::Slack, other.to_string().as_bytes()), None);
    other = trial.clone();
    other["challenge"] = json!("x".repeat(10_000));
    assert_eq!(challenge(Kind::Slack, other.to_string().as_bytes()), None);
    assert_eq!(
        challenge(Kind::Mattermost, trial.to_string().as_bytes()),
        None
    );
    assert!(heard(Kind::Slack, trial.to_string().as_bytes()).is_err());
}

fn clicked() -> Value {
    let value = format!("{}.{}", uuid::Uuid::from_u128(7), "ab".repeat(32));
    json!({"type": "block_actions", "user": {"id": "U0ANA", "username": "ana", "name": "ana", "team_id": "T0001"},
        "api_app_id": "A02", "token": "Shh", "container": {"type": "message", "message_ts": "1772359577.000200",
            "channel_id": "C0OPS", "is_ephemeral": false},
        "trigger_id": "12466734323.1395872398", "team": {"id": "T0001", "domain": "acme"}, "enterprise": null,
        "is_enterprise_install": false, "channel": {"id": "C0OPS", "name": "ops"},
        "message": {"bot_id": "B01", "type": "message", "text": "shop: 1.5.0 -> 1.4.2", "user": "U02", "ts": "1772359577.000200",
            "app_id": "A02", "team": "T0001", "edited": {"user": "B01", "ts": "1"}, "blocks": [{"type": "section", "block_id": "x"}]},
        "state": {"values": {}}, "response_url": "https://hooks.slack.com/actions/T0001/1/xyz",
        "actions": [{"confirm": {"title": {"type": "plain_text", "text": "Roll back?", "emoji": true}}, "action_id": "sternway_approve",
            "block_id": "jYjr", "text": {"type": "plain_text", "text": "Approve", "emoji": true}, "value": value,
            "style": "danger", "type": "button", "action_ts": "1772359580.143263"}]})
}

#[test]
fn slack_a_click_with_all_of_its_fields() {
    let plain = click(&clicked()).unwrap();
    assert!(matches!(
        plain.asked,
        Asked::Decide {
            yes: true,
            digest: Some(_),
            ..
        }
    ));
    assert_eq!(
        (plain.user.as_str(), plain.channel.as_str()),
        ("T0001.U0ANA", "C0OPS")
    );
    // An app of a whole enterprise has no team of its own; the user still has one.
    let mut grid = clicked();
    grid["team"] = Value::Null;
    grid["enterprise"] = json!({"id": "E0001", "name": "acme"});
    grid["is_enterprise_install"] = json!(true);
    assert_eq!(click(&grid).unwrap().user.as_str(), "T0001.U0ANA");
    // What only its sender sees has its channel in the container.
    let mut ephemeral = clicked();
    ephemeral["container"]["is_ephemeral"] = json!(true);
    ephemeral.as_object_mut().unwrap().remove("channel");
    ephemeral.as_object_mut().unwrap().remove("message");
    assert_eq!(click(&ephemeral).unwrap().channel, "C0OPS");
}

#[test]
fn slack_what_is_no_click_of_ours_decides_nothing() {
    for kind in [
        "message_action",
        "shortcut",
        "view_submission",
        "view_closed",
        "interactive_message",
    ] {
        let mut other = clicked();
        other["type"] = json!(kind);
        assert_eq!(click(&other).unwrap().asked, Asked::Nothing, "{kind}");
    }
    let mut elsewhere = clicked();
    elsewhere["actions"][0]["action_id"] = json!("somebody_elses");
    assert_eq!(click(&elsewhere).unwrap().asked, Asked::Nothing);
    elsewhere["actions"] = json!([]);
    assert_eq!(click(&elsewhere).unwrap().asked, Asked::Nothing);
    // A menu has no value but an option.
    let mut menu = clicked();
    menu["actions"][0] = json!({"type": "static_select", "action_id": "sternway_approve",
        "selected_option": {"value": clicked()["actions"][0]["value"]}});
    assert_eq!(click(&menu).unwrap().asked, Asked::Nothing);
}

#[test]
fn mattermost_a_command_with_all_of_its_fields() {
    let fields = [
        ("channel_id", "jo81dyquabf6ipfwpqqmjmjgka"),
        ("channel_name", "town-square"),
        ("command", "/rollback"),
        (
            "response_url",
            "https://chat.example/hooks/commands/y5bbo8wjbfb8fx8krmi6w1ntrw",
        ),
        ("team_domain", "acme"),
        ("team_id", "ju1kwb3b9pgsfmdt9cwmtzcfiw"),
        ("text", "shop 1.4.2 @ana"),
        ("token", "h8sdo1wq7jgf7gd4mt8hcm9kgo"),
        ("trigger_id", "OHp0Z2E3cG1pYmY0"),
        ("user_id", "5bxefopefir5tn4ju5nucydq4a"),
        ("user_mentions", "ana"),
        ("user_mentions_ids", "9bxefopefir5tn4ju5nucydq4b"),
        ("user_name", "steve"),
    ];
    let heard = heard(Kind::Mattermost, &form(&fields)).unwrap();
    assert_eq!(heard.user.as_str(), "5bxefopefir5tn4ju5nucydq4a");
    assert!(matches!(heard.asked, Asked::Plan { .. }));
    let body = String::from_utf8(kept(Kind::Mattermost, form(&fields))).unwrap();
    assert!(
        !body.contains("h8sdo1wq7jgf7gd4mt8hcm9kgo") && body.contains("user_mentions=ana"),
        "{body}"
    );
}

#[test]
fn mattermost_a_button_is_none_of_ours() {
    let action = json!({"user_id": "5bxefopefir5tn4ju5nucydq4a", "user_name": "steve", "channel_id": "jo81dyquabf6ipfwpqqmjmjgka",
        "channel_name": "town-square", "team_id": "ju1k", "team_domain": "acme", "post_id": "g7z", "trigger_id": "x", "type": "",
        "data_source": "", "context": {"action": "approve"}});
    assert!(heard(Kind::Mattermost, action.to_string().as_bytes()).is_err());
}
