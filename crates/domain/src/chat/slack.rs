//! Cards and answers as Slack takes them. Whatever comes from outside is escaped: nothing in it calls anybody.

use serde_json::{Value, json};

use super::card::Card;

/// What a click on yes is told by.
pub const APPROVE: &str = "sternway_approve";
/// What a click on no is told by.
pub const DENY: &str = "sternway_deny";

/// Most characters of one section; Slack's own limit is 3000.
const SECTION_CHARS_MAX: usize = 2900;
/// Most sections of a message; Slack's own limit is 50 blocks, and nobody reads more.
const SECTIONS_MAX: usize = 12;
/// Most characters of a plain text: Slack cuts after 40 000 and advises 4000.
const TEXT_CHARS_MAX: usize = 3900;
/// Most characters of the title of a question.
const ASK_CHARS_MAX: usize = 280;

/// A text in which nothing is a mark of Slack's own, cut to so many characters as it is sent.
#[must_use]
pub fn escaped(text: &str, chars_max: usize) -> String {
    let (mut out, mut chars) = (String::new(), 0);
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c if c.is_control() && c != '\n' => continue,
            c => &*c.encode_utf8(&mut buffer),
        };
        chars += piece.chars().count();
        if chars >= chars_max {
            out.push('…');
            break;
        }
        out.push_str(piece);
    }
    out
}

/// A card as a message, without its channel.
#[must_use]
pub fn message(card: &Card) -> Value {
    let call = if card.call_all { "<!channel> " } else { "" };
    let title = escaped(&card.title, ASK_CHARS_MAX);
    let section =
        |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let mut blocks = vec![section(format!("{call}*{title}*"))];
    let parts = card.parts.iter().take(SECTIONS_MAX);
    blocks.extend(parts.map(|part| section(escaped(part, SECTION_CHARS_MAX))));
    if let Some(value) = &card.decide {
        blocks.push(buttons(value, &title));
    }
    let status = card.parts.first().map_or("", String::as_str);
    let text = format!("{call}{title}\n{}", escaped(status, SECTION_CHARS_MAX));
    json!({"text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

fn buttons(value: &str, title: &str) -> Value {
    let plain = |text: &str| json!({"type": "plain_text", "text": text});
    let sure = json!({"title": plain("Roll back?"), "text": {"type": "mrkdwn", "text": title},
        "confirm": plain("Roll back"), "deny": plain("Not now")});
    json!({"type": "actions", "elements": [
        {"type": "button", "action_id": APPROVE, "style": "danger", "value": value, "text": plain("Approve"),
         "confirm": sure},
        {"type": "button", "action_id": DENY, "value": value, "text": plain("Deny")}]})
}

/// An answer that only the one who asked sees.
#[must_use]
pub fn answer(text: &str) -> Value {
    json!({"response_type": "ephemeral", "replace_original": false, "text": escaped(text, TEXT_CHARS_MAX)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_calls_anybody_or_is_cut_in_two() {
        assert_eq!(
            escaped("<!channel> a & b <@U1>\u{7}", 100),
            "&lt;!channel&gt; a &amp; b &lt;@U1&gt;"
        );
        assert_eq!(escaped("ab<", 4), "ab…");
        assert_eq!(escaped("a\nb", 9), "a\nb");
        let long = escaped(&"<".repeat(9000), 3000);
        assert!(
            long.chars().count() <= 3000 && long.ends_with(";…"),
            "{long}"
        );
    }

    #[test]
    fn a_message_keeps_slack_s_limits_whatever_is_in_it() {
        let card = Card {
            title: "<&>".repeat(2000),
            call_all: true,
            parts: vec!["é<\n".repeat(4000); 60],
            decide: Some(format!("{}.{}", uuid::Uuid::nil(), "a".repeat(64))),
            last: false,
        };
        let message = message(&card);
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            if let Some(text) = block.pointer("/text/text").and_then(Value::as_str) {
                assert!(text.chars().count() <= 3000, "{}", text.len());
            }
        }
        assert!(message["text"].as_str().unwrap().chars().count() < 4000);
        let first = blocks[0]["text"]["text"].as_str().unwrap();
        assert!(first.starts_with("<!channel> *&lt;&amp;&gt;"), "{first}");
        assert_eq!(first.matches("<!").count(), 1);
        let last = blocks.last().unwrap();
        assert_eq!(last["elements"][0]["value"], card.decide.unwrap().as_str());
        let sure = last["elements"][0]["confirm"]["text"]["text"]
            .as_str()
            .unwrap();
        assert!(sure.chars().count() <= 300);
    }
}
