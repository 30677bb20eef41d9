//! A server's answer to our client.

use corewire_protocol::Limits;
use corewire_protocol::deflate::DeflateConfig;
use corewire_protocol::handshake::{
    ClientRequest, ExtraHeaders, HeadScanner, HeaderSpace, ResponseHead,
};

use crate::http_head::named;
use crate::input::Input;

/// The key of RFC 6455, 1.3.
const NONCE: [u8; 16] = *b"the sample nonce";
/// What a server makes of it.
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Any answer is taken or refused with a rule; one that is taken has the accept value, the
/// upgrade, and nothing that was not offered. Without its accept value the same is refused.
pub fn handshake_response(data: &[u8]) {
    let mut input = Input::new(data);
    let deflate = input.flag().then(DeflateConfig::default);
    let offered: &[&str] = input.one_of(&[&[][..], &["chat"], &["chat", "superchat"]]);
    let request = ClientRequest {
        host: "example.com",
        target: "/chat",
        subprotocols: offered,
        deflate,
        extra: ExtraHeaders::NONE,
    };
    let handshake = request.write(NONCE, &mut Vec::new()).unwrap();
    let bytes = input.rest();
    let Ok(Some(head)) = HeadScanner::new().scan(bytes, &Limits::default()) else {
        return;
    };
    let mut space = HeaderSpace::new();
    let head = match ResponseHead::parse(head, &mut space) {
        Ok(head) => head,
        Err(error) => return named(error),
    };
    match handshake.finish(&head) {
        Ok(established) => {
            let headers = head.headers();
            assert_eq!(head.status(), 101);
            assert_eq!(headers.get("sec-websocket-accept"), Some(ACCEPT));
            assert!(headers.has_token("connection", "upgrade"));
            assert!(headers.has_token("upgrade", "websocket"));
            assert_eq!(
                established.subprotocol.map(str::as_bytes),
                headers.get("sec-websocket-protocol")
            );
            assert!(
                established
                    .subprotocol
                    .is_none_or(|name| offered.contains(&name))
            );
            assert!(established.deflate.is_none() || deflate.is_some());
            let other = request.write([7; 16], &mut Vec::new()).unwrap();
            assert!(other.finish(&head).is_err(), "an answer to somebody else");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
