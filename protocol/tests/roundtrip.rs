//! What one end sends the other receives: in both directions at once, whatever was agreed upon,
//! however the messages are sent and the bytes are cut.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod support;

use corewire_protocol::deflate::{Agreement, Direction, Takeover};
use corewire_protocol::{Limits, MessageKind, PreparedMessage, Role, State};
use proptest::prelude::*;

use support::{Content, Said, Us, cases, content, direction, said_close, said_ping, said_pong};

#[derive(Debug, Clone)]
struct Turn {
    sender: Role,
    content: Content,
    way: Way,
    read_bytes: usize,
}

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    Send,
    Prepared,
    HeaderAndPayload,
    /// Before anything else is sent, windows are given back.
    SendAfterShrinking,
    /// A ping of the first bytes instead.
    Ping,
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn what_one_end_sends_the_other_receives(
        agreements in agreements(),
        turns in prop::collection::vec(turn(), 0..20),
        closer in role(),
    ) {
        let mut ends = Ends::new(agreements);
        for turn in &turns {
            let expected = ends.send(turn);
            let heard = ends.deliver(turn.sender, turn.read_bytes);
            prop_assert_eq!(&heard, &[expected]);
            if let [Said::Ping(payload)] = &heard[..] {
                let answer = ends.deliver(other(turn.sender), turn.read_bytes);
                prop_assert_eq!(answer, [said_pong(payload)]);
            }
        }
        ends.of(closer).close(4000, "enough");
        prop_assert_eq!(ends.deliver(closer, 1), [said_close(Some(4000), "enough")]);
        prop_assert_eq!(ends.deliver(other(closer), 1), [said_close(Some(4000), "")]);
        prop_assert_eq!(ends.server.websocket.state(), State::Closed);
        prop_assert_eq!(ends.client.websocket.state(), State::Closed);
    }
}

struct Ends {
    server: Us,
    client: Us,
}

impl Ends {
    /// What the one sends the other inflates.
    fn new(agreement: Option<Agreement>) -> Self {
        let mirrored = agreement.map(|agreed| Agreement {
            inbound: agreed.outbound,
            outbound: agreed.inbound,
        });
        Self {
            server: Us::with(Role::Server, agreement, Limits::default()),
            client: Us::with(Role::Client, mirrored, Limits::default()),
        }
    }

    fn of(&mut self, role: Role) -> &mut Us {
        match role {
            Role::Server => &mut self.server,
            Role::Client => &mut self.client,
        }
    }

    fn send(&mut self, turn: &Turn) -> Said {
        let us = self.of(turn.sender);
        let bytes = turn.content.bytes();
        let (kind, said) = match &turn.content {
            Content::Text(text) => (MessageKind::Text, Said::Text(text.clone())),
            Content::Binary(bytes) => (MessageKind::Binary, Said::Binary(bytes.clone())),
        };
        match (turn.way, turn.sender) {
            (Way::Ping, _) => {
                let payload = &bytes[..bytes.len().min(125)];
                us.ping(payload).unwrap();
                return said_ping(payload);
            }
            (Way::Prepared, Role::Server) => {
                us.send_prepared(&PreparedMessage::new(kind, bytes));
            }
            (Way::HeaderAndPayload, Role::Server) => us.send_header_and_payload(kind, bytes),
            (Way::SendAfterShrinking, _) => {
                us.websocket.shrink();
                us.send(kind, bytes).unwrap();
            }
            (Way::Send, _) | (Way::Prepared | Way::HeaderAndPayload, Role::Client) => {
                us.send(kind, bytes).unwrap();
            }
        }
        said
    }

    /// Carries what was sent to the other end, in reads of a size.
    fn deliver(&mut self, sender: Role, read_bytes: usize) -> Vec<Said> {
        let wire = self.of(sender).sent_bytes();
        let receiver = self.of(other(sender));
        let mut said = Vec::new();
        for read in wire.chunks(read_bytes) {
            let heard = receiver.receive_bytes(read);
            assert_eq!(heard.1, Ok(()));
            said.extend(heard.0);
        }
        said
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let way = prop_oneof![
        4 => Just(Way::Send),
        2 => Just(Way::Prepared),
        1 => Just(Way::HeaderAndPayload),
        1 => Just(Way::SendAfterShrinking),
        1 => Just(Way::Ping),
    ];
    let read_bytes = prop_oneof![1..50_usize, 1000..200_000_usize];
    (role(), content(), way, read_bytes).prop_map(|(sender, content, way, read_bytes)| Turn {
        sender,
        content,
        way,
        read_bytes,
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn agreements() -> impl Strategy<Value = Option<Agreement>> {
    prop::option::of(
        (one_direction(), one_direction())
            .prop_map(|(inbound, outbound)| Agreement { inbound, outbound }),
    )
}

fn one_direction() -> impl Strategy<Value = Direction> {
    let takeover = prop_oneof![Just(Takeover::No), Just(Takeover::Yes)];
    (takeover, 9..=15_u8).prop_map(|(takeover, bits)| direction(takeover, bits))
}
