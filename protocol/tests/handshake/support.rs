//! The messages of the RFC, and short ways through a handshake.

use corewire_protocol::Limits;
use corewire_protocol::handshake::{
    ClientHandshake, ClientRequest, ExtraHeaders, HeadError, HeadScanner, HeaderSpace, Refusal,
    RequestHead, ResponseError, ResponseHead, Upgrade, UpgradeOptions, upgrade,
};

/// The nonce whose key is the RFC's `dGhlIHNhbXBsZSBub25jZQ==`.
pub(crate) const NONCE: [u8; 16] = *b"the sample nonce";

pub(crate) const REQUEST: &str = "GET /chat HTTP/1.1\r\n\
                       Host: server.example.com\r\n\
                       Upgrade: websocket\r\n\
                       Connection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";

pub(crate) const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\n\
                        Upgrade: websocket\r\n\
                        Connection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Reads a request whose head is complete; an incomplete one is an error of the start line here.
pub(crate) fn with_head<T>(
    bytes: &[u8],
    look: impl FnOnce(&RequestHead<'_>) -> T,
) -> Result<T, HeadError> {
    let head = HeadScanner::new().scan(bytes, &Limits::default())?;
    let mut space = HeaderSpace::new();
    RequestHead::parse(head.ok_or(HeadError::StartLine)?, &mut space).map(|head| look(&head))
}

pub(crate) fn with_response<T>(
    bytes: &[u8],
    look: impl FnOnce(&ResponseHead<'_>) -> T,
) -> Result<T, HeadError> {
    let head = HeadScanner::new().scan(bytes, &Limits::default())?;
    let mut space = HeaderSpace::new();
    ResponseHead::parse(head.ok_or(HeadError::StartLine)?, &mut space).map(|head| look(&head))
}

/// What becomes of a request at a server with default options.
pub(crate) fn upgraded<T>(
    request: &str,
    look: impl FnOnce(Upgrade<'_>) -> T,
) -> Result<T, Refusal> {
    let options = UpgradeOptions::default();
    with_head(request.as_bytes(), |head| upgrade(head, &options).map(look)).unwrap()
}

pub(crate) fn respond(upgrade: &Upgrade<'_>) -> String {
    let mut out = Vec::new();
    upgrade.write_response(ExtraHeaders::NONE, &mut out);
    String::from_utf8(out).unwrap()
}

pub(crate) fn answer(request: &str) -> Result<String, Refusal> {
    upgraded(request, |upgrade| respond(&upgrade))
}

pub(crate) fn plain() -> ClientRequest<'static> {
    ClientRequest {
        host: "server.example.com",
        target: "/chat",
        subprotocols: &[],
        deflate: None,
        extra: ExtraHeaders::NONE,
    }
}

/// The subprotocol, and whether compression was agreed upon.
pub(crate) type Outcome = Result<(Option<String>, bool), ResponseError>;

pub(crate) fn check_response(handshake: &ClientHandshake, response: &str) -> Outcome {
    with_response(response.as_bytes(), |head| {
        let established = handshake.finish(head)?;
        Ok((
            established.subprotocol.map(str::to_owned),
            established.deflate.is_some(),
        ))
    })
    .unwrap()
}
