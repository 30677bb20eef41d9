//! Tickets: with one, a client comes back as the same user and the same producer.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::client::Producer;

/// Bytes of a ticket, at most: with the longest name there is.
const TICKET_BYTES_MAX: usize = 1024;

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) user: Box<str>,
    /// The producer that its connection was.
    pub(super) producer: Producer,
    /// When the token ended that the user came with, in seconds since 1970.
    pub(super) token_expires_s: Option<u64>,
    /// Until when it says who somebody is, in seconds since 1970.
    pub(super) expires_s: u64,
}

/// What signs tickets, and knows them again: HS256 (RFC 7518, 3.2) with a key that no other process
/// has, so that the tickets of a server end with it. Signatures are compared in constant time.
#[derive(Clone)]
pub(super) struct TicketKey {
    signs: EncodingKey,
    checks: DecodingKey,
}

/// A ticket as it is written. Clients need not look into it.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: Box<str>,
    /// The session of the producer, in hexadecimal digits.
    ses: Box<str>,
    inc: u32,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tok: Option<u64>,
}

impl Ticket {
    /// Whether it is enough to know who somebody is. What ended its user's token ends it, too.
    pub(super) fn names_its_user(&self, now_s: u64) -> bool {
        now_s < self.expires_s && self.token_expires_s.is_none_or(|end_s| now_s < end_s)
    }
}

impl TicketKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            signs: EncodingKey::from_secret(key),
            checks: DecodingKey::from_secret(key),
        }
    }

    /// Writes a ticket.
    pub(super) fn issue(&self, ticket: Ticket, now_s: u64) -> Option<String> {
        let claims = Claims {
            sub: ticket.user,
            ses: format!("{:x}", ticket.producer.session).into(),
            inc: ticket.producer.incarnation,
            iat: now_s,
            exp: ticket.expires_s,
            tok: ticket.token_expires_s,
        };
        // It cannot fail; a client without a ticket would begin anew.
        encode(&Header::new(Algorithm::HS256), &claims, &self.signs).ok()
    }

    /// Reads a ticket that was written with this key. Whether its time is over says the ticket.
    pub(super) fn check(&self, ticket: &str) -> Option<Ticket> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = decode::<Claims>(ticket, &self.checks, &validation)
            .ok()?
            .claims;
        Some(Ticket {
            user: claims.sub,
            producer: Producer {
                session: u128::from_str_radix(&claims.ses, 16).ok()?,
                incarnation: claims.inc,
            },
            token_expires_s: claims.tok,
            expires_s: claims.exp,
        })
    }
}

impl std::fmt::Debug for TicketKey {
    /// A key is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            user: "ada".into(),
            producer: Producer {
                session: u128::MAX,
                incarnation: 7,
            },
            token_expires_s: Some(1_500),
            expires_s: 2_000,
        }
    }

    #[test]
    fn a_ticket_is_known_again_by_its_key_only() {
        let (one, other) = (TicketKey::new(&[1; 32]), TicketKey::new(&[2; 32]));
        let text = one.issue(ticket(), 1_000).unwrap();
        assert_eq!(one.check(&text), Some(ticket()));
        assert_eq!(other.check(&text), None);
        // Each character counts, but for the bits that the last one of a part has too many.
        for (place, _) in text.match_indices(|c: char| c != '.') {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if let Some(known) = one.check(&changed) {
                assert_eq!(known, ticket(), "{place}");
            }
        }
        assert_eq!(one.check(""), None);
        assert_eq!(one.check(&text[..text.len() - 1]), None);
        assert_eq!(one.check(&"x".repeat(2_000)), None);
    }

    #[test]
    fn a_ticket_is_short_whatever_its_user_is_called() {
        let key = TicketKey::new(&[1; 32]);
        let long = Ticket {
            user: "\u{10ffff}".repeat(32).into(),
            token_expires_s: Some(u64::MAX),
            expires_s: u64::MAX,
            ..ticket()
        };
        let text = key.issue(long.clone(), u64::MAX).unwrap();
        assert!(text.len() < TICKET_BYTES_MAX, "{} bytes", text.len());
        assert_eq!(key.check(&text), Some(long));
    }

    #[test]
    fn it_says_who_somebody_is_until_it_or_the_token_ends() {
        assert!(ticket().names_its_user(1_499));
        assert!(!ticket().names_its_user(1_500));
        let without_token = Ticket {
            token_expires_s: None,
            ..ticket()
        };
        assert!(without_token.names_its_user(1_999));
        assert!(!without_token.names_its_user(2_000));
    }
}
