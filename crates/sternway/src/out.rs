//! The standard streams: data goes to stdout, everything said to people on the way goes to stderr.
//! Nothing else in this crate writes to either. A reader that went away is no error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Where and how a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// One JSON object on stdout instead of text.
    pub json: bool,
    /// Colours for stdout.
    pub data: Paint,
    /// Colours for stderr.
    pub talk: Paint,
    /// Whether stderr is a terminal that can redraw lines.
    pub live: bool,
    /// Whether a person can be asked.
    pub asks: bool,
}

impl Out {
    /// What the flags, the environment and the terminals allow.
    #[must_use]
    pub fn detect(json: bool, no_color: bool) -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let dumb = variable("TERM") == "dumb";
        let colors = !no_color && !dumb && variable("NO_COLOR").is_empty();
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json,
            data: Paint {
                on: colors && stdout,
            },
            talk: Paint {
                on: colors && stderr,
            },
            live: stderr && !dumb,
            asks: io::stdin().is_terminal() && stderr,
        }
    }

    /// Data for people, on stdout.
    pub fn data(&self, text: &str) {
        write(&mut io::stdout().lock(), text);
    }

    /// Data for programs: one JSON object on stdout.
    pub fn object(&self, value: &impl Serialize) {
        let text =
            serde_json::to_string_pretty(value).unwrap_or_else(|failure| format!("\"{failure}\""));
        write(&mut io::stdout().lock(), &escape_controls(&text));
    }

    /// A remark on the way, on stderr.
    pub fn say(&self, text: &str) {
        write(&mut io::stderr().lock(), text);
    }

    /// A question to a person; the answer, trimmed. `None` when nobody can be asked or nothing was said.
    #[must_use]
    pub fn ask(&self, question: &str) -> Option<String> {
        if !self.asks {
            return None;
        }
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{question} ").and_then(|()| stderr.flush());
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| line.trim().to_owned())
    }
}

fn write(stream: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(stream, "{text}{end}").and_then(|()| stream.flush());
}

/// Control characters that JSON leaves as they are, and that a terminal may obey, as escapes.
fn escape_controls(json: &str) -> String {
    json.chars()
        .fold(String::with_capacity(json.len()), |mut text, char| {
            if is_harmful(char) && char != '\n' {
                text.push_str(&format!("\\u{:04x}", u32::from(char)));
            } else {
                text.push(char);
            }
            text
        })
}

/// Colours, or none. Colour never carries a meaning that is not in the words as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    /// Whether to colour at all.
    pub on: bool,
}

impl Paint {
    /// Something that is as it should be.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.code("32", text)
    }

    /// Something that failed.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.code("1;31", text)
    }

    /// Something to know.
    #[must_use]
    pub fn warn(self, text: &str) -> String {
        self.code("33", text)
    }

    /// Something that goes on.
    #[must_use]
    pub fn busy(self, text: &str) -> String {
        self.code("36", text)
    }

    /// A headline.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.code("1", text)
    }

    /// Something less important.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.code("2", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text from outside without anything that a terminal obeys: escape sequences, control characters and
/// characters that turn the direction of writing. Line ends stay.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' | '\u{9b}' => skip_sequence(char, &mut chars),
            '\n' => clean.push('\n'),
            '\t' => clean.push(' '),
            char if is_harmful(char) => {}
            char => clean.push(char),
        }
    }
    clean
}

/// The same on one line.
#[must_use]
pub fn one_line(text: &str) -> String {
    clean(text)
        .split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_harmful(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Drops the rest of an escape sequence: `ESC [ ... letter`, or `ESC` and the one character after it.
fn skip_sequence(start: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if start == '\x1b' && chars.next_if_eq(&'[').is_none() {
        chars.next_if(|char| char.is_ascii_graphic());
        return;
    }
    while chars.next_if(|char| matches!(char, ' '..='?')).is_some() {}
    chars.next_if(|char| matches!(char, '@'..='~'));
}

/// Every text in an answer of the server made clean, field names included.
pub fn clean_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = clean(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(clean_json),
        serde_json::Value::Object(fields) => {
            let dirty = std::mem::take(fields);
            *fields = dirty
                .into_iter()
                .map(|(name, mut value)| {
                    clean_json(&mut value);
                    (clean(&name), value)
                })
                .collect();
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_can_not_command_the_terminal() {
        assert_eq!(
            clean("\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \u{9b}1mbold\u{202e}x\r\n\tend"),
            "red 0;title bold x\n end".replace(" x", "x")
        );
        assert_eq!(one_line(" a\n\n b "), "a b");
    }

    #[test]
    fn every_text_of_an_answer_is_cleaned() {
        let mut value = serde_json::json!({"a\u{1b}[1m": ["x\u{7}", {"b": "\u{9b}2Jy"}], "n": 1});
        clean_json(&mut value);
        assert_eq!(value, serde_json::json!({"a": ["x", {"b": "y"}], "n": 1}));
    }

    #[test]
    fn json_output_loses_nothing_and_commands_nothing() {
        let text = escape_controls(
            &serde_json::to_string(&serde_json::json!({"t": "\u{9b}2J\u{7f}"})).unwrap(),
        );
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["t"], "\u{9b}2J\u{7f}");
    }

    #[test]
    fn without_colours_the_text_is_as_it_is() {
        assert_eq!(Paint::default().bad("failed"), "failed");
        assert_eq!(Paint { on: true }.bad("failed"), "\x1b[1;31mfailed\x1b[0m");
    }
}
