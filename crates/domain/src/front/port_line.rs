//! The line of a Compose file in which a service publishes its port: found, made a comment that says who has the port
//! now, and made a line again. docker-compose 1 adds the ports of all of a project's files up, so no override file can
//! take one away; this line is the least that can be changed. What can not be found for certain is refused.

use std::ops::Range;

use crate::{name::ComponentName, specification::Published};

/// What such a line begins with while a balancer has its port. The rest of it is what it was.
pub const MARK: &str = "# sternway front has this: ";

/// The file with the lines in which `service` publishes `port` made comments; none when it publishes nothing such.
///
/// # Errors
/// Why the lines can not be found for certain, as the rest of a sentence.
pub fn taken(
    content: &[u8],
    service: &ComponentName,
    port: &Published,
) -> Result<Option<Vec<u8>>, String> {
    let text = text(content)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(list) = ports_of(&lines, service.as_str())? else {
        return Ok(None);
    };
    let mut fitting = list.items.iter().filter(|item| item.fits(port));
    let Some(item) = fitting.next() else {
        return Ok(None);
    };
    if fitting.next().is_some() {
        return Err(format!(
            "more than one line of service {service} can be what publishes {port}"
        ));
    }
    let alone = list.items.len() == 1;
    let change = |at: &usize| item.lines.contains(at) || (alone && *at == list.key);
    let mut edited = String::with_capacity(text.len() + 2 * MARK.len());
    for (at, line) in lines.iter().enumerate() {
        let bare = line.trim_start_matches(' ');
        edited.push_str(&line[..line.len() - bare.len()]);
        if change(&at) {
            edited.push_str(MARK);
        }
        edited.push_str(bare);
    }
    Ok(Some(edited.into_bytes()))
}

/// Whether a balancer has a port of this file.
#[must_use]
pub fn is_taken(content: &[u8]) -> bool {
    let marked = |line: &&str| line.trim_start_matches(' ').starts_with(MARK);
    text(content).is_ok_and(|text| text.split_inclusive('\n').any(|line| marked(&line)))
}

/// The file with those lines as they were. Whatever else was edited meanwhile stays.
///
/// # Errors
/// When the lines were edited as well, as the rest of a sentence.
pub fn put_back(
    content: &[u8],
    service: &ComponentName,
    port: &Published,
) -> Result<Vec<u8>, String> {
    let mut former = String::with_capacity(content.len());
    for line in text(content)?.split_inclusive('\n') {
        let bare = line.trim_start_matches(' ');
        former.push_str(&line[..line.len() - bare.len()]);
        former.push_str(bare.strip_prefix(MARK).unwrap_or(bare));
    }
    let former = former.into_bytes();
    match taken(&former, service, port) {
        Ok(Some(again)) if again == content => Ok(former),
        Ok(_) | Err(_) => Err(format!(
            "the lines that begin with `{MARK}` were edited by hand: with them {service} does not publish {port}"
        )),
    }
}

fn text(content: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(content).map_err(|_| "it is no UTF-8 text".to_owned())
}

/// The ports of a service, as lines.
struct List {
    /// The line of the key.
    key: usize,
    items: Vec<Item>,
}

struct Item {
    lines: Range<usize>,
    means: Means,
}

/// What an item says. Each part may be made of variables: then it may be anything.
enum Means {
    Parts {
        host_ip: Option<String>,
        published: Option<String>,
        target: String,
        protocol: String,
    },
    /// One variable says all of it.
    Anything,
}

impl Item {
    fn fits(&self, port: &Published) -> bool {
        let Means::Parts {
            host_ip,
            published,
            target,
            protocol,
        } = &self.means
        else {
            return true;
        };
        let says = |text: &str, wanted: &str| text.contains('$') || text == wanted;
        let host_ip = match (host_ip.as_deref(), port.host_ip.as_deref()) {
            (None | Some("0.0.0.0"), None | Some("0.0.0.0")) => true,
            (Some(text), wanted) => says(text, wanted.unwrap_or_default()),
            (None, Some(_)) => false,
        };
        let host_port = port.host_port.map(|port| port.to_string());
        host_ip
            && published
                .as_deref()
                .zip(host_port.as_deref())
                .is_some_and(|(text, wanted)| says(text, wanted))
            && says(target, &port.port.to_string())
            && says(protocol, &port.protocol)
    }
}

fn ports_of(lines: &[&str], service: &str) -> Result<Option<List>, String> {
    let top = 0..lines.len();
    let Some(services) = key(lines, top, "services", Some(0))? else {
        return Ok(None);
    };
    let Some(own) = key(lines, below(lines, services), service, None)? else {
        return Ok(None);
    };
    let Some(at) = key(lines, below(lines, own), "ports", None)? else {
        return Ok(None);
    };
    let after = value_of(lines[at]);
    if after.is_empty() {
        let items = items(lines, at)?;
        return Ok((!items.is_empty()).then_some(List { key: at, items }));
    }
    let inside = after
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let Some(inside) = inside.map(str::trim) else {
        return Err(format!("the ports of service {service} are no plain list"));
    };
    match split(inside, ',').as_slice() {
        [""] => Ok(None),
        [only] => {
            let item = Item {
                lines: at..at + 1,
                means: short(scalar(only))?,
            };
            Ok(Some(List {
                key: at,
                items: vec![item],
            }))
        }
        [..] => Err(format!(
            "service {service} has several ports in one line: write each on a line of its own"
        )),
    }
}

/// The one line of that key among the keys of one level, which is that of the first key unless it is given.
fn key(
    lines: &[&str],
    within: Range<usize>,
    name: &str,
    level: Option<usize>,
) -> Result<Option<usize>, String> {
    let level = level.or_else(|| {
        let first = within.clone().find(|at| says_something(lines[*at]));
        first.map(|at| level_of(lines[at]))
    });
    let mut found = within.filter(|at| {
        let line = lines[*at];
        says_something(line) && Some(level_of(line)) == level && key_of(line) == Some(name)
    });
    match (found.next(), found.next()) {
        (at, None) => Ok(at),
        (_, Some(_)) => Err(format!("it has the key `{name}` twice")),
    }
}

/// The lines that belong to a key.
fn below(lines: &[&str], at: usize) -> Range<usize> {
    let level = level_of(lines[at]);
    let ends = |line: &&str| says_something(line) && level_of(line) <= level;
    let end = lines[at + 1..].iter().position(ends);
    at + 1..end.map_or(lines.len(), |end| at + 1 + end)
}

/// The items of a list whose key stands in that line; they may stand below the key or under it.
fn items(lines: &[&str], key: usize) -> Result<Vec<Item>, String> {
    let level = level_of(lines[key]);
    let mut items: Vec<Item> = Vec::new();
    let mut dash = None;
    for (at, line) in lines.iter().enumerate().skip(key + 1) {
        if !says_something(line) {
            continue;
        }
        let (own, bare) = (level_of(line), line.trim());
        let begins = bare.starts_with("- ") && own >= level && dash.is_none_or(|dash| dash == own);
        if begins {
            dash = Some(own);
            items.push(Item {
                lines: at..at + 1,
                means: Means::Anything,
            });
        } else if let (Some(item), true) = (items.last_mut(), dash.is_some_and(|dash| own > dash)) {
            item.lines.end = at + 1;
        } else {
            break;
        }
    }
    for item in &mut items {
        item.means = means(&lines[item.lines.clone()])?;
    }
    Ok(items)
}

/// An item of the short form is one line; one of the long form is a key on each.
fn means(lines: &[&str]) -> Result<Means, String> {
    let plain = |line: &&str| -> String {
        let bare = without_comment(line.trim());
        bare.strip_prefix("- ").unwrap_or(bare).trim().to_owned()
    };
    let said: Vec<String> = lines
        .iter()
        .filter(|line| says_something(line))
        .map(plain)
        .collect();
    let long = said.iter().map(|line| line.split_once(": "));
    let pairs: Option<Vec<(&str, &str)>> = long.collect();
    let Some(pairs) = pairs.filter(|pairs| pairs.iter().any(|(key, _)| *key == "target")) else {
        let [only] = said.as_slice() else {
            return Err("a port is written over several lines".to_owned());
        };
        return short(scalar(only));
    };
    let of = |name: &str| {
        let pair = pairs.iter().find(|(key, _)| *key == name);
        pair.map(|(_, value)| scalar(value.trim()).to_owned())
    };
    Ok(Means::Parts {
        host_ip: of("host_ip"),
        published: of("published"),
        target: of("target").unwrap_or_default(),
        protocol: of("protocol").unwrap_or_else(|| "tcp".to_owned()),
    })
}

/// `[[IP:]PUBLISHED:]TARGET[/PROTOCOL]`.
fn short(text: &str) -> Result<Means, String> {
    if text.starts_with(['*', '&', '{', '!']) {
        return Err("its ports are written with anchors, tags or braces".to_owned());
    }
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, protocol)) if !protocol.contains('}') => (rest, protocol),
        Some(_) | None => (text, "tcp"),
    };
    let parts = split(rest, ':');
    if let [whole] = parts.as_slice()
        && whole.contains('$')
    {
        return Ok(Means::Anything);
    }
    let mut parts = parts.into_iter().rev();
    let target = parts.next().unwrap_or_default().to_owned();
    let published = parts.next().map(str::to_owned);
    let address: Vec<&str> = parts.rev().collect();
    let address = address.join(":");
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Ok(Means::Parts {
        host_ip: (!address.is_empty()).then(|| address.to_owned()),
        published,
        target,
        protocol: protocol.to_owned(),
    })
}

/// Parts between separators that stand in no variable's braces.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn says_something(line: &str) -> bool {
    let bare = line.trim();
    !bare.is_empty() && !bare.starts_with('#')
}

fn level_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim().split_once(':')?;
    Some(scalar(key.trim()))
}

fn value_of(line: &str) -> &str {
    let value = line.trim().split_once(':').map_or("", |(_, value)| value);
    without_comment(value.trim())
}

fn without_comment(text: &str) -> &str {
    if text.starts_with('#') {
        return "";
    }
    text.split_once(" #")
        .map_or(text, |(before, _)| before)
        .trim()
}

fn scalar(text: &str) -> &str {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests;
