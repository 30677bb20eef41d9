//! Both roles against each other, against tungstenite, and against arbitrary bytes.

use std::io::{self, Read, Write};

use corewire_protocol::deflate::DeflateConfig;
use corewire_protocol::handshake::{ClientRequest, UpgradeOptions, upgrade};
use proptest::prelude::*;

use crate::support::{
    ACCEPTED, NONCE, REQUEST, answer, check_response, plain, respond, upgraded, with_head,
    with_response,
};

// Against tungstenite

#[test]
fn tungstenite_accepts_our_client() {
    let mut request = Vec::new();
    let ours = ClientRequest {
        target: "/chat?a=b",
        ..plain()
    };
    let handshake = ours.write(NONCE, &mut request).unwrap();
    let mut pipe = Pipe {
        input: request,
        output: Vec::new(),
    };
    tungstenite::accept(&mut pipe).unwrap();
    let response = String::from_utf8(pipe.output).unwrap();
    assert_eq!(check_response(&handshake, &response), Ok((None, false)));
}

#[test]
fn tungstenite_accepts_our_server() {
    let pipe = Pipe {
        input: Vec::new(),
        output: Vec::new(),
    };
    let Err(tungstenite::HandshakeError::Interrupted(mut waiting)) =
        tungstenite::client("ws://server.example.com/chat", pipe)
    else {
        panic!("the client waits for the answer");
    };
    let pipe = waiting.get_mut().get_mut();
    let request = String::from_utf8(pipe.output.clone()).unwrap();
    pipe.input = answer(&request).unwrap().into_bytes();
    assert!(waiting.handshake().is_ok());
}

/// What was sent to one end, and what it sent.
#[derive(Debug)]
struct Pipe {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.input.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// Any bytes

proptest! {
    #[test]
    fn our_client_and_server_agree(
        nonce in any::<[u8; 16]>(),
        subprotocols in proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3),
        choice in any::<proptest::sample::Index>(),
        deflate in any::<bool>(),
    ) {
        let request = ClientRequest {
            subprotocols: &subprotocols,
            deflate: deflate.then(DeflateConfig::default),
            ..plain()
        };
        let mut bytes = Vec::new();
        let handshake = request.write(nonce, &mut bytes).unwrap();
        let chosen = (!subprotocols.is_empty()).then(|| *choice.get(&subprotocols));
        let text = String::from_utf8(bytes).unwrap();
        let response = upgraded(&text, |mut upgrade| {
            if let Some(name) = chosen {
                upgrade.choose_subprotocol(name).unwrap();
            }
            respond(&upgrade)
        });
        let established = check_response(&handshake, &response.unwrap());
        prop_assert_eq!(established, Ok((chosen.map(str::to_owned), deflate)));
    }

    #[test]
    fn arbitrary_values_never_panic_and_never_write_a_line(
        header in 0_usize..8,
        value in proptest::collection::vec(prop_oneof![any::<u8>(), 0x20_u8..0x7f], 0..40),
    ) {
        let name = ["Host", "Origin", "Upgrade", "Connection", "Sec-WebSocket-Key",
            "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"][header];
        let mut bytes = REQUEST.as_bytes()[..REQUEST.len() - 2].to_vec();
        bytes.extend(format!("{name}: ").as_bytes());
        bytes.extend(&value);
        bytes.extend(b"\r\n\r\n");
        let _ = with_head(&bytes, |head| {
            let _ = upgrade(head, &UpgradeOptions::default()).map(|mut upgrade| {
                let first = upgrade.subprotocols().next();
                if let Some(name) = first {
                    upgrade.choose_subprotocol(name).unwrap();
                }
                let response = respond(&upgrade);
                assert!(response.lines().count() <= 7);
                assert_eq!(response.matches("\r\n\r\n").count(), 1);
            });
        });
        // The same value in an answer to a client.
        let handshake = plain().write(NONCE, &mut Vec::new()).unwrap();
        let mut response = ACCEPTED.as_bytes()[..ACCEPTED.len() - 2].to_vec();
        response.extend(format!("{name}: ").as_bytes());
        response.extend(&value);
        response.extend(b"\r\n\r\n");
        let _ = with_response(&response, |head| handshake.finish(head).is_ok());
    }
}
