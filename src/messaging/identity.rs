//! Who a client is.

use std::borrow::Cow;

use corewire_protocol::native::{ErrorCode, ErrorReply};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// Bytes of a user's name.
const USER_BYTES_MAX: usize = 128;
/// The latest time that a token can name, in seconds since 1970: in milliseconds it is still a number
/// that every client can read, and 17,000 years away.
const SECONDS_MAX: u64 = 1 << 39;
/// Bytes of a token key: what HS256 is as strong as (RFC 7518, 3.2).
pub const TOKEN_KEY_BYTES_MIN: usize = 32;

/// How a server learns who its clients are.
#[derive(Clone)]
pub enum Identity {
    /// Every connection is a user of its own.
    Anonymous,
    /// As `Anonymous`, but a `hello` may say a name. For servers that only this machine reaches.
    Named,
    /// A `hello` must have a JSON Web Token (RFC 7519) signed with this key.
    Token(TokenKey),
}

/// A key for HS256 (RFC 7518, 3.2).
#[derive(Clone)]
pub struct TokenKey(DecodingKey);

/// What a token or a name says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    /// `None` for a user of its own.
    pub(super) name: Option<Box<str>>,
    /// When that ends, in seconds since 1970.
    pub(super) expires_s: Option<u64>,
}

/// The claims that are looked at: strings and seconds since 1970 (RFC 7519, 4.1).
#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// A key of fewer than [`TOKEN_KEY_BYTES_MIN`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTooShort(pub usize);

impl std::fmt::Display for KeyTooShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the token key has {} bytes; HS256 needs {TOKEN_KEY_BYTES_MIN} or more random ones",
            self.0
        )
    }
}

impl std::error::Error for KeyTooShort {}

impl TokenKey {
    /// The key as bytes.
    ///
    /// # Errors
    ///
    /// If it is too short to be one.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyTooShort> {
        if bytes.len() < TOKEN_KEY_BYTES_MIN {
            return Err(KeyTooShort(bytes.len()));
        }
        Ok(Self(DecodingKey::from_secret(bytes)))
    }
}

impl std::fmt::Debug for Identity {
    /// A key is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Named => "Named",
            Self::Token(_) => "Token",
        })
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl Identity {
    /// Finds out who says `hello`.
    pub(super) fn user(
        &self,
        token: Option<&str>,
        name: Option<&str>,
        now_s: u64,
    ) -> Result<User, ErrorReply<'static>> {
        match (self, token, name) {
            (Self::Token(key), Some(token), None) => key.check(token, now_s),
            (Self::Token(_), None, _) => Err(refused(
                "token: missing; this server wants a JSON Web Token, signed with HS256",
            )),
            (Self::Token(_), Some(_), Some(_)) => {
                Err(refused("user: the token says who it is; leave it out"))
            }
            (Self::Anonymous | Self::Named, Some(_), _) => Err(refused(
                "token: this server has no key to check it with (--token-key-file); leave it out",
            )),
            (Self::Anonymous | Self::Named, None, None) => Ok(User {
                name: None,
                expires_s: None,
            }),
            (Self::Named, None, Some(name)) => Ok(User {
                name: Some(user_name(name)?),
                expires_s: None,
            }),
            (Self::Anonymous, None, Some(_)) => Err(refused(
                "user: this server does not let clients choose a name (--anonymous-names)",
            )),
        }
    }
}

impl TokenKey {
    fn check(&self, token: &str, now_s: u64) -> Result<User, ErrorReply<'static>> {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked below, by the server's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let token = jsonwebtoken::decode::<Claims>(token, &self.0, &validation)
            .map_err(|error| refused(unreadable(&error)))?;
        // RFC 7515, 4.1.11: what is critical and not understood is not valid.
        if token.header.crit.is_some() {
            return Err(refused(
                "token: its header has extensions (crit), of which this server knows none",
            ));
        }
        let Claims { sub, exp, nbf } = token.claims;
        let expires_s = exp.map(seconds).ok_or_else(|| {
            refused("token: it has no end; give it exp, in seconds since 1970 (RFC 7519, 4.1.4)")
        })?;
        if expires_s <= now_s {
            return Err(ErrorReply {
                code: ErrorCode::TokenExpired,
                text: "token: its time (exp) is over; get another one".into(),
                retry_ms: Some(0),
            });
        }
        if nbf.map(seconds).is_some_and(|begins_s| begins_s > now_s) {
            return Err(refused("token: its time (nbf) has not come yet"));
        }
        let name = sub.ok_or_else(|| refused("token: it names no user; give it sub, a string"))?;
        Ok(User {
            name: Some(user_name(&name)?),
            expires_s: Some(expires_s),
        })
    }
}

/// Why a token is none, or not one of ours.
fn unreadable(error: &jsonwebtoken::errors::Error) -> String {
    let kind = error.kind();
    if matches!(kind, ErrorKind::InvalidSignature) {
        "token: it was not signed with the key of this server (--token-key-file)".to_owned()
    } else if matches!(kind, ErrorKind::InvalidAlgorithm) {
        "token: it was not signed with HS256".to_owned()
    } else if matches!(kind, ErrorKind::InvalidToken | ErrorKind::Base64(_)) {
        "token: it is no JSON Web Token, which has three parts with dots between".to_owned()
    } else {
        format!("token: {error}")
    }
}

/// A time as a token says it, which may have a fraction. There are [`SECONDS_MAX`] at most.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is within the bounds of both"
)]
fn seconds(time: f64) -> u64 {
    time.clamp(0.0, SECONDS_MAX as f64) as u64
}

fn user_name(name: &str) -> Result<Box<str>, ErrorReply<'static>> {
    if name.is_empty() || name.len() > USER_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(refused(format!(
            "user: a name has from 1 to {USER_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(name.into())
}

fn refused(text: impl Into<Cow<'static, str>>) -> ErrorReply<'static> {
    ErrorReply {
        code: ErrorCode::Unauthorized,
        text: text.into(),
        retry_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use corewire_protocol::native::INTEGER_END;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn token(claims: &serde_json::Value, key: &[u8], header: &Header) -> String {
        encode(header, claims, &EncodingKey::from_secret(key)).unwrap()
    }

    fn check(token: &str) -> Result<User, ErrorCode> {
        Identity::Token(TokenKey::new(&KEY).unwrap())
            .user(Some(token), None, 1000)
            .map_err(|error| error.code)
    }

    #[test]
    fn a_token_names_its_user_until_it_expires() {
        let hs256 = Header::default();
        let valid = token(&json!({"sub": "ada", "exp": 1001}), &KEY, &hs256);
        let user = check(&valid).unwrap();
        assert_eq!(user.name.as_deref(), Some("ada"));
        assert_eq!(user.expires_s, Some(1001));
        let over = token(&json!({"sub": "ada", "exp": 1000}), &KEY, &hs256);
        assert_eq!(check(&over), Err(ErrorCode::TokenExpired));
        let early = token(&json!({"sub": "ada", "nbf": 1001}), &KEY, &hs256);
        assert_eq!(check(&early), Err(ErrorCode::Unauthorized));
        // RFC 7519, 2: a NumericDate may have a fraction.
        let exact = token(&json!({"sub": "ada", "exp": 1000.5}), &KEY, &hs256);
        assert_eq!(check(&exact), Err(ErrorCode::TokenExpired));
        let endless = token(&json!({"sub": "ada"}), &KEY, &hs256);
        assert_eq!(check(&endless), Err(ErrorCode::Unauthorized));
        // In milliseconds by mistake, or worse: what clients are told of it is still a number.
        for far in [1e13, f64::MAX] {
            let far = token(&json!({"sub": "ada", "exp": far}), &KEY, &hs256);
            let expires_s = check(&far).unwrap().expires_s.unwrap();
            assert!(expires_s * 1000 < INTEGER_END, "{expires_s}");
        }
    }

    /// RFC 7515, 4.1.11.
    #[test]
    fn a_token_with_extensions_that_are_critical_is_refused() {
        let header = Header {
            crit: Some(vec!["exp".to_owned()]),
            ..Header::default()
        };
        let critical = token(&json!({"sub": "ada", "exp": 1001}), &KEY, &header);
        assert_eq!(check(&critical), Err(ErrorCode::Unauthorized));
    }

    #[test]
    fn what_is_not_signed_with_the_key_is_refused() {
        let claims = json!({"sub": "ada", "exp": 1001});
        let hs256 = Header::default();
        for bad in [
            token(&claims, &[8; 32], &hs256),
            token(&claims, &KEY, &Header::new(Algorithm::HS512)),
            // {"alg":"none"}.{"sub":"ada"}.
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.".to_owned(),
            token(&json!({"sub": "", "exp": 1001}), &KEY, &hs256),
            token(&json!({"name": "ada", "exp": 1001}), &KEY, &hs256),
            token(&json!({"sub": 7, "exp": 1001}), &KEY, &hs256),
            "nonsense".to_owned(),
        ] {
            assert_eq!(check(&bad), Err(ErrorCode::Unauthorized), "{bad}");
        }
        assert_eq!(TokenKey::new(&[1; 31]).err(), Some(KeyTooShort(31)));
    }

    #[test]
    fn names_are_for_servers_that_let_them() {
        let named = |identity: Identity, name| {
            let user = identity.user(None, name, 0);
            user.map(|user| user.name).map_err(|error| error.code)
        };
        assert_eq!(named(Identity::Anonymous, None), Ok(None));
        assert_eq!(
            named(Identity::Anonymous, Some("ada")),
            Err(ErrorCode::Unauthorized)
        );
        assert_eq!(named(Identity::Named, Some("ada")), Ok(Some("ada".into())));
        assert_eq!(
            named(Identity::Named, Some("a\nb")),
            Err(ErrorCode::Unauthorized)
        );
    }
}
