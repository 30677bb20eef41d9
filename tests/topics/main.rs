//! The messaging layer at `/ws`, through real sockets. Numbers such as "complaint 23" are those of a
//! collection of what users of other servers have met.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod elsewhere;
mod figures;
mod history;
mod order;
mod patterns;
mod presence;
mod resume;
mod rust_client;
mod slow;
mod tickets;
mod transcript;
mod upkeep;

use corewire::messaging::{Class, History, Identity, Messaging, Options, TopicRule};
use corewire::server::{self, Site};
use corewire_testkit::Served;
use corewire_testkit::served::options;

/// A server with these settings.
fn serve(messaging: Options, identity: Identity, server: server::Options) -> Served {
    let message_bytes = server.engine.limits.message_bytes;
    let messaging = Messaging::new(messaging, identity, message_bytes, 42);
    Served::start(Site::new(messaging), server)
}

/// One core, so that everything has one order.
fn one_core() -> Served {
    serve(Options::default(), Identity::Anonymous, options())
}

/// Several cores, and settings of the messaging layer.
fn cores(cores: usize, messaging: Options) -> Served {
    let server = server::Options {
        cores: Some(cores),
        ..options()
    };
    serve(messaging, Identity::Anonymous, server)
}

/// As `unlimited`, and no topic has a log.
fn volatile() -> Options {
    Options {
        topics: vec![TopicRule {
            pattern: ">".to_owned(),
            class: Class::Volatile,
            history: History {
                messages: 0,
                bytes: 0,
                age_ms: 0,
            },
        }],
        ..unlimited()
    }
}

/// As many publications as a test wants.
fn unlimited() -> Options {
    Options {
        publish_per_s: 0,
        ..Options::default()
    }
}
