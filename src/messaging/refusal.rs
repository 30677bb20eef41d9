//! Why commands are refused, where several places have the same reason.

use std::borrow::Cow;

use corewire_protocol::native::{ErrorCode, ErrorReply};

use super::mail::NotPublished;

/// A refusal that no time will change.
pub(super) fn refused(code: ErrorCode, text: impl Into<Cow<'static, str>>) -> ErrorReply<'static> {
    ErrorReply {
        code,
        text: text.into(),
        retry_ms: None,
    }
}

/// A core has as many topics as it may.
pub(super) fn too_many_topics() -> ErrorReply<'static> {
    ErrorReply {
        code: ErrorCode::Overloaded,
        text: "topic: the server has as many topics as it may; try again later".into(),
        retry_ms: Some(1000),
    }
}

/// A message has no place.
pub(super) fn not_published(error: NotPublished) -> ErrorReply<'static> {
    match error {
        NotPublished::TooManyTopics => too_many_topics(),
        NotPublished::Superseded => refused(
            ErrorCode::Conflict,
            "pub: this session has gone on in another connection, which may publish now",
        ),
        NotPublished::NotNext { given, expected } if given > expected => refused(
            ErrorCode::BadRequest,
            format!("pub.pseq: {given} is not the next one; {expected} is expected"),
        ),
        NotPublished::NotNext { given, expected } => refused(
            ErrorCode::BadRequest,
            format!(
                "pub.pseq: {given} is too long ago to know what became of it; {expected} is expected"
            ),
        ),
    }
}

/// The reply to a `sub` that an `unsub` has overtaken.
pub(super) fn ended_before_it_began() -> ErrorReply<'static> {
    refused(
        ErrorCode::Conflict,
        "sub.s: the subscription was ended before it began",
    )
}

/// The client has just gone; nobody will read it.
pub(super) fn gone() -> ErrorReply<'static> {
    refused(ErrorCode::Internal, "the connection has ended")
}
