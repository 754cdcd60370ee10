//! One variable in an environment file (`.env`), read and set as Compose reads it. Every other byte of the file
//! stays what it is: comments, order, quotes and line ends.

use crate::name::VariableName;

/// The value that a variable has in a file, without its quotes; of two entries the last one counts. None when no
/// entry sets it.
#[must_use]
pub fn value(content: &[u8], name: &VariableName) -> Option<Vec<u8>> {
    let entries = entries(content);
    let entry = entries.iter().rfind(|entry| entry.sets(name))?;
    Some(unquoted(entry.value).to_vec())
}

/// The file with that variable set: its entry is changed in place, its quotes kept; without one a line is added
/// at the end. A file that says so already comes back as it is. None when the change would alter what Compose
/// reads besides it, as it can below a quote that is never closed.
#[must_use]
pub fn with_value(content: &[u8], name: &VariableName, value: &str) -> Option<Vec<u8>> {
    let says = |content: &[u8]| self::value(content, name).as_deref() == Some(value.as_bytes());
    if says(content) {
        return Some(content.to_vec());
    }
    let entries = entries(content);
    let edited = match entries.iter().rposition(|entry| entry.sets(name)) {
        Some(at) => changed(&entries, at, value),
        None => with_line(content, name, value),
    };
    (says(&edited) && rest(&edited, name) == rest(content, name)).then_some(edited)
}

fn changed(entries: &[Entry<'_>], at: usize, value: &str) -> Vec<u8> {
    let mut edited = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        if number == at {
            let quote = quote_of(entry.value);
            edited.extend_from_slice(entry.head);
            edited.extend(quote);
            edited.extend_from_slice(value.as_bytes());
            edited.extend(quote);
            edited.extend_from_slice(entry.end);
        } else {
            edited.extend_from_slice(entry.whole);
        }
    }
    edited
}

/// What the file says besides that variable: two files with the same rest differ in nothing else that Compose
/// reads. Spaces at the end of a line, an empty end of the file and the kind of line ends count as nothing.
#[must_use]
pub fn rest(content: &[u8], name: &VariableName) -> Vec<u8> {
    let mut rest = Vec::with_capacity(content.len());
    for entry in entries(content).iter().filter(|entry| !entry.sets(name)) {
        rest.extend_from_slice(entry.whole.trim_ascii_end());
        rest.push(b'\n');
    }
    rest.truncate(rest.trim_ascii_end().len());
    rest
}

/// The names of the variables that two files do not agree on: values may be secrets.
#[must_use]
pub fn difference(wanted: &[u8], found: &[u8]) -> String {
    let pairs = |content| -> Vec<(String, Vec<u8>)> {
        let named = |entry: &Entry<'_>| {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            (!name.is_empty()).then(|| (name, unquoted(entry.value).to_vec()))
        };
        entries(content).iter().filter_map(named).collect()
    };
    let (wanted, found) = (pairs(wanted), pairs(found));
    let only = |a: &[(String, Vec<u8>)], b: &[(String, Vec<u8>)]| -> Vec<String> {
        let differs = a.iter().filter(|pair| !b.contains(pair));
        differs.map(|(name, _)| name.clone()).collect()
    };
    let mut names = only(&wanted, &found);
    names.extend(only(&found, &wanted));
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => "comments, spaces or the order of lines differ".to_owned(),
        [name] => format!("{name} differs"),
        names => format!("{} differ", names.join(", ")),
    }
}

fn with_line(content: &[u8], name: &VariableName, value: &str) -> Vec<u8> {
    let mut edited = content.to_vec();
    let end: &[u8] = if content.windows(2).any(|pair| pair == b"\r\n") {
        b"\r\n"
    } else {
        b"\n"
    };
    if !content.is_empty() && !content.ends_with(b"\n") {
        edited.extend_from_slice(end);
    }
    edited.extend_from_slice(format!("{name}={value}").as_bytes());
    edited.extend_from_slice(end);
    edited
}

/// One entry, usually a line: everything up to the value, the value with its quotes, and what follows it. What
/// sets nothing is all head.
struct Entry<'a> {
    whole: &'a [u8],
    name: &'a [u8],
    head: &'a [u8],
    value: &'a [u8],
    end: &'a [u8],
}

impl Entry<'_> {
    fn sets(&self, name: &VariableName) -> bool {
        self.name == name.as_str().as_bytes()
    }
}

fn entries(content: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut left = content;
    while !left.is_empty() {
        let entry = setting(left).unwrap_or_else(|| {
            let whole = &left[..line_length(left)];
            Entry {
                whole,
                name: b"",
                head: whole,
                value: b"",
                end: b"",
            }
        });
        left = &left[entry.whole.len()..];
        entries.push(entry);
    }
    entries
}

/// The entry at the start of this text when it sets a variable. A quoted value may have line ends in it.
fn setting(text: &[u8]) -> Option<Entry<'_>> {
    let line = &text[..line_length(text)];
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let name = key(&line[..equals])?;
    let blank = line[equals + 1..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let at = equals + 1 + blank;
    let length = match text.get(at) {
        Some(quote @ (b'"' | b'\'')) => quoted_length(&text[at..], *quote)?,
        Some(_) | None => bare_length(&line[at..]),
    };
    let after = at + length;
    let whole = after + line_length(&text[after..]);
    let tail = text[after..whole].trim_ascii();
    (tail.is_empty() || tail.starts_with(b"#")).then(|| Entry {
        whole: &text[..whole],
        name,
        head: &text[..at],
        value: &text[at..after],
        end: &text[after..whole],
    })
}

fn key(before: &[u8]) -> Option<&[u8]> {
    let before = before.strip_prefix(b"\xef\xbb\xbf").unwrap_or(before);
    let name = before.trim_ascii();
    let name = name
        .strip_prefix(b"export")
        .filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"))
        .map_or(name, <[u8]>::trim_ascii);
    let name = name
        .strip_prefix(b"'")
        .and_then(|name| name.strip_suffix(b"'"))
        .unwrap_or(name);
    let plain = !name.is_empty()
        && !name
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || *byte == b'#');
    plain.then_some(name)
}

/// With both quotes; a quote after a backslash does not close.
fn quoted_length(text: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        if escaped {
            escaped = false;
        } else if *byte == b'\\' {
            escaped = true;
        } else if *byte == quote {
            return Some(at + 1);
        }
    }
    None
}

/// Up to a comment after a space, or to the end of the line.
fn bare_length(line: &[u8]) -> usize {
    let comment = line
        .windows(2)
        .position(|pair| pair[0].is_ascii_whitespace() && pair[1] == b'#');
    line[..comment.unwrap_or(line.len())].trim_ascii_end().len()
}

/// With its line end.
fn line_length(text: &[u8]) -> usize {
    match text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(at) if text[at..].starts_with(b"\r\n") => at + 2,
        Some(at) => at + 1,
        None => text.len(),
    }
}

fn quote_of(value: &[u8]) -> Option<u8> {
    value
        .first()
        .copied()
        .filter(|byte| matches!(byte, b'"' | b'\''))
}

fn unquoted(value: &[u8]) -> &[u8] {
    if quote_of(value).is_some() {
        &value[1..value.len() - 1]
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
