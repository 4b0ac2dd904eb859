//! Reading server-sent events, as far as the hub sends them.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::exit::{Exit, Failure};

/// Longest message read: one item with all it can carry is far below.
const MESSAGE_BYTES: usize = 4 << 20;

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Its type: `event`, `drift`, `change`, `reset`.
    pub kind: String,
    /// Its id; empty if it has none.
    pub id: String,
    /// Its data.
    pub data: String,
}

/// An open stream.
pub struct Stream {
    body: Incoming,
    parser: Parser,
}

impl Stream {
    /// The messages in a response's body.
    pub fn new(body: Incoming) -> Self {
        Self { body, parser: Parser::default() }
    }

    /// The next message; none when the hub closed the stream.
    pub async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(message) = self.parser.next() {
                return Ok(Some(message));
            }
            let broken = |error| Failure::new(Exit::Unreachable, format!("the stream broke off: {error}"));
            match self.body.frame().await.transpose().map_err(broken)? {
                None => return Ok(None),
                Some(frame) => self.parser.push(frame.data_ref().map(AsRef::as_ref).unwrap_or_default())?,
            }
        }
    }
}

/// Messages out of bytes, however they are cut.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    message: Message,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() + self.message.data.len() > MESSAGE_BYTES {
            return Err(Failure::new(Exit::Unreachable, "the hub sent a message without end"));
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Message> {
        while let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let message = std::mem::take(&mut self.message);
                if message != Message::default() {
                    return Some(message);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.message.kind = value.to_owned(),
                "id" => self.message.id = value.to_owned(),
                "data" => {
                    if !self.message.data.is_empty() {
                        self.message.data.push('\n');
                    }
                    self.message.data.push_str(value);
                }
                // Comments keep the stream alive; unknown fields are to be ignored (WHATWG HTML §9.2.6).
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_however_they_are_cut() {
        let text = ": hello\n\nid: 1\nevent: drift\ndata: {\ndata: }\n\n\nevent:change\r\ndata:7\r\n\r\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                parser.push(chunk).unwrap();
                while let Some(message) = parser.next() {
                    found.push(message);
                }
            }
            let message = |kind: &str, id: &str, data: &str| Message {
                kind: kind.into(),
                id: id.into(),
                data: data.into(),
            };
            assert_eq!(
                found,
                [message("drift", "1", "{\n}"), message("change", "", "7")],
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut parser = Parser::default();
        let chunk = vec![b'x'; 1 << 20];
        let pushed: Vec<bool> = (0..5).map(|_| parser.push(&chunk).is_ok()).collect();
        assert_eq!(pushed, [true, true, true, true, false]);
    }
}
