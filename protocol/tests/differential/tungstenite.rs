//! tungstenite, over a stream of our own.

use std::io::{self, ErrorKind, Read, Write};

use corewire_protocol::{CloseCode, Error, Role};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::support::{Length, Said, close, ping, text};
use crate::{Heard, Lenience, MESSAGE_BYTES_MAX, Rival};

pub(crate) const RIVAL: Rival = Rival {
    name: "tungstenite",
    hear,
    lenient: &[
        Lenience {
            error: Error::LengthNotMinimal,
            why: "5.2 has a MUST for senders, and no word for receivers",
            example: || (Role::Server, vec![text("short").length(Length::In8Bytes)]),
        },
        Lenience {
            error: Error::ControlTooLong,
            why: "it takes control frames of up to 125 bytes whose length has a long form",
            example: || (Role::Server, vec![ping("short").length(Length::In2Bytes)]),
        },
        Lenience {
            error: Error::CloseCodeInvalid(CloseCode(1005)),
            why: "it answers with 1002, and no error",
            example: || (Role::Server, vec![close(1005, "")]),
        },
    ],
    // Bad gateway.
    close_codes_unknown: &[1014],
};

fn hear(role: Role, wire: &[u8]) -> Heard {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut them = WebSocket::from_raw_socket(Pipe(wire), role, Some(config));
    let mut said = Vec::new();
    let verdict = loop {
        said.push(match them.read() {
            Ok(Message::Text(text)) => Said::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Said::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Said::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Said::Pong(bytes.to_vec()),
            Ok(Message::Frame(_)) => unreachable!("read gives no raw frames"),
            Ok(Message::Close(close)) => {
                said.push(match close {
                    Some(close) => Said::Close(Some(close.code.into()), close.reason.to_string()),
                    None => Said::Close(None, String::new()),
                });
                break Ok(());
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                break Ok(());
            }
            Err(error) => break Err(error.to_string()),
        });
    };
    Heard { said, verdict }
}

/// A peer that has sent these bytes and sends no more, and to whom anything can be said.
struct Pipe<'a>(&'a [u8]);

impl Read for Pipe<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
