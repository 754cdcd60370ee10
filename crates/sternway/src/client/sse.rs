//! Server-sent events out of bytes, however they are cut.

/// Longest frame that is read; an event of a rollback is a few hundred bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its id, when it has one.
    pub id: Option<String>,
    /// Its kind, when it has one.
    pub event: Option<String>,
    /// Its data.
    pub data: String,
}

/// The stream is not one that a server of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {FRAME_BYTES_MAX} bytes")]
pub struct TooLong;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: bool,
    frame: Frame,
    has_data: bool,
    bytes: usize,
}

impl Parser {
    /// The events that are complete with these bytes.
    ///
    /// # Errors
    /// When one event is longer than any should be.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, TooLong> {
        let mut frames = Vec::new();
        for byte in bytes {
            let follows_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    frames.extend(self.line_end());
                }
                byte => {
                    self.bytes += 1;
                    if self.bytes > FRAME_BYTES_MAX {
                        return Err(TooLong);
                    }
                    self.line.push(*byte);
                }
            }
        }
        Ok(frames)
    }

    fn line_end(&mut self) -> Option<Frame> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let line = line.trim_start_matches('\u{feff}');
        if line.is_empty() {
            return self.frame_end();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.frame.id = Some(value.to_owned()),
            "event" => self.frame.event = Some(value.to_owned()),
            // Comments (an empty field name), `retry` and what a newer server may add.
            _ => {}
        }
        None
    }

    fn frame_end(&mut self) -> Option<Frame> {
        self.bytes = 0;
        let frame = std::mem::take(&mut self.frame);
        std::mem::take(&mut self.has_data).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\n\r\nid: 1\nevent: event\ndata: {\"a\":\ndata: 1}\n\nretry: 10\n\n:\n\ndata:x\r\rid: 3\n\ndata: cut";

    fn expected() -> Vec<Frame> {
        let first = Frame {
            id: Some("1".to_owned()),
            event: Some("event".to_owned()),
            data: "{\"a\":\n1}".to_owned(),
        };
        vec![
            first,
            Frame {
                data: "x".to_owned(),
                ..Frame::default()
            },
        ]
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        assert_eq!(
            Parser::default().push(STREAM.as_bytes()).unwrap(),
            expected()
        );
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let frames: Vec<Frame> = STREAM
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| parser.push(chunk).unwrap())
                .collect();
            assert_eq!(frames, expected(), "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; FRAME_BYTES_MAX + 1]), Err(TooLong));
    }

    #[test]
    fn many_short_events_are_not_one_long_one() {
        let mut parser = Parser::default();
        let event = format!("data: {}\n\n", "y".repeat(1000));
        for _ in 0..3000 {
            assert_eq!(parser.push(event.as_bytes()).unwrap().len(), 1);
        }
    }
}
