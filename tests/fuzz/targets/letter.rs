//! An input as a message: header lines, an empty line, a body.

use domain::trigger::Headers;

pub(crate) fn opened(input: &[u8]) -> (Headers, &[u8]) {
    let mut headers = Headers::default();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(line);
        if let Some((name, value)) = line.split_once(": ") {
            headers.add(name, value);
        }
    }
    (headers, rest)
}
