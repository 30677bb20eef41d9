//! A request to a server, and what both of our ends make of each other.

use corewire_protocol::Limits;
use corewire_protocol::deflate::{DeflateConfig, Direction, Takeover};
use corewire_protocol::handshake::{
    ClientRequest, ExtraHeaders, HeadScanner, HeaderSpace, OriginPolicy, RequestHead, ResponseHead,
    Upgrade, UpgradeOptions, Version, upgrade, wants_upgrade,
};

use crate::http_head::named;
use crate::input::Input;

/// Any request is taken or refused with a rule. One that is taken has one host, one length and
/// the headers that its lines say; one that becomes a WebSocket gets an answer that is a head.
/// And whatever our client asks for and our server answers, the client accepts.
pub fn handshake_request(data: &[u8]) {
    let mut input = Input::new(data);
    let options = options(&mut input);
    if input.flag() {
        conversation(&options, &mut input);
    } else {
        any_request(&options, input.rest());
    }
}

fn options(input: &mut Input<'_>) -> UpgradeOptions {
    let listed = ["https://example.com", "https://*.example.com", "null"];
    let origins = match input.below(3) {
        0 => OriginPolicy::SameOrigin,
        1 => OriginPolicy::from_arguments(&listed[..2]).unwrap(),
        _ => OriginPolicy::Any,
    };
    let deflate = config(input);
    UpgradeOptions { origins, deflate }
}

fn config(input: &mut Input<'_>) -> Option<DeflateConfig> {
    let mut direction = || Direction {
        takeover: input.one_of(&[Takeover::No, Takeover::Yes]),
        window_bits: input.one_of(&[15, 9, 12]),
    };
    let config = DeflateConfig::new(direction(), direction());
    if input.flag() { config } else { None }
}

fn any_request(options: &UpgradeOptions, bytes: &[u8]) {
    let limits = Limits::default();
    let Ok(Some(bytes)) = HeadScanner::new().scan(bytes, &limits) else {
        return;
    };
    let mut space = HeaderSpace::new();
    let head = match RequestHead::parse(bytes, &mut space) {
        Ok(head) => head,
        Err(error) => return named(error),
    };
    reads_what_is_there(&head, bytes.as_bytes());
    match upgrade(&head, options) {
        Ok(mut upgrade) => {
            assert!(wants_upgrade(&head));
            choose(&mut upgrade);
            answer(&upgrade);
        }
        Err(refusal) => {
            assert!((400..600).contains(&refusal.status()));
            assert!(!refusal.to_string().contains(['\r', '\n']));
        }
    }
}

/// The head against its lines: what two readers could read differently is not there.
fn reads_what_is_there(head: &RequestHead<'_>, bytes: &[u8]) {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n").skip_while(|line| line.is_empty());
    let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
    assert_eq!(first.len(), 3, "three words: {first:?}");
    assert_eq!(head.method(), first[0]);
    let headers: Vec<(String, &str)> = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))
        })
        .collect();
    let read: Vec<(String, String)> = head
        .headers()
        .iter()
        .map(|(name, value)| {
            let value: String = value.iter().map(|&byte| char::from(byte)).collect();
            (name.to_ascii_lowercase(), value)
        })
        .collect();
    assert!(
        headers
            .iter()
            .map(|(name, value)| (&name[..], *value))
            .eq(read.iter().map(|(name, value)| (&name[..], &value[..])))
    );
    let count = |name: &str| headers.iter().filter(|header| header.0 == name).count();
    assert!(count("host") <= 1 && count("content-length") <= 1);
    assert!(count("transfer-encoding") + count("content-length") <= 1);
    assert!(head.host().is_some() || head.version() == Version::Http10);
    assert!(head.path().starts_with('/') || head.path() == "*");
    assert!(!head.path().contains(['?', '#', ' ']));
}

fn choose(upgrade: &mut Upgrade<'_>) {
    assert!(upgrade.choose_subprotocol("no token").is_err());
    if let Some(name) = upgrade.subprotocols().last() {
        upgrade.choose_subprotocol(name).unwrap();
    }
}

/// The 101, which must be one head.
fn answer(upgrade: &Upgrade<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    upgrade.write_response(ExtraHeaders::NONE, &mut out);
    let limits = Limits {
        head_bytes: usize::MAX,
        head_line_bytes: usize::MAX,
        ..Limits::default()
    };
    let head = HeadScanner::new().scan(&out, &limits).unwrap().unwrap();
    assert_eq!(head.len(), out.len());
    let mut space = HeaderSpace::new();
    assert_eq!(ResponseHead::parse(head, &mut space).unwrap().status(), 101);
    out
}

/// A request that our client writes, through our server, back to the client.
fn conversation(options: &UpgradeOptions, input: &mut Input<'_>) {
    let deflate = config(input);
    let text = |input: &mut Input<'_>| String::from_utf8_lossy(input.bytes()).into_owned();
    let (host, target) = (text(input), text(input));
    let names: Vec<String> = (0..input.below(4)).map(|_| text(input)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut extra = ExtraHeaders::default();
    for _ in 0..input.below(4) {
        let _ = extra.add(&text(input), input.bytes());
    }
    let request = ClientRequest {
        host: &host,
        target: &target,
        subprotocols: &names,
        deflate,
        extra: &extra,
    };
    let mut wire = Vec::new();
    let Ok(handshake) = request.write([input.byte(); 16], &mut wire) else {
        assert!(wire.is_empty());
        return;
    };
    let limits = Limits::default();
    let head = HeadScanner::new().scan(&wire, &limits).unwrap().unwrap();
    assert_eq!(head.len(), wire.len());
    let mut space = HeaderSpace::new();
    let head = RequestHead::parse(head, &mut space).unwrap();
    reads_what_is_there(&head, &wire);
    let Ok(mut upgrade) = upgrade(&head, options) else {
        assert!(head.headers().get("origin").is_some(), "it was refused");
        return;
    };
    assert!(upgrade.subprotocols().eq(names.iter().copied()));
    choose(&mut upgrade);
    let wire = answer(&upgrade);
    let head = HeadScanner::new().scan(&wire, &limits).unwrap().unwrap();
    let mut space = HeaderSpace::new();
    let head = ResponseHead::parse(head, &mut space).unwrap();
    let established = handshake.finish(&head).expect("our own answer");
    assert_eq!(established.subprotocol, names.last().copied());
    assert_eq!(established.deflate.is_some(), upgrade.deflate().is_some());
    assert_eq!(
        established.deflate.is_some(),
        deflate.is_some() && options.deflate.is_some()
    );
}
