//! What worlds are like, by name.

use corewire::messaging::{Class, History, Options, TopicRule};

use super::script::{Loyalty, State, Style, Subjects};
use super::world::{Keeps, Logs, Plan, Restarts};

/// Topics without a log.
fn volatile(pattern: &str) -> TopicRule {
    TopicRule {
        pattern: pattern.to_owned(),
        class: Class::Volatile,
        history: History {
            messages: 0,
            bytes: 0,
            age_ms: 0,
        },
    }
}

/// Bounds that are met. Some topics have a log, which repairs what others are told of.
fn options() -> Options {
    Options {
        topics: vec![volatile("a.*")],
        catch_up_pages: 2,
        pattern_topics_max: 3,
        backlog_bytes: 8 << 10,
        backlog_budget_bytes: 48 << 10,
        publish_per_s: 0,
        unanswered_max: 8,
        topic_idle_ms: 500,
        ..Options::default()
    }
}

pub(crate) fn plain() -> Plan {
    Plan {
        cores: 2,
        clients: 8,
        apps: 0,
        mailbox: 4,
        script: Style {
            topics: 4,
            burst: 40,
            acts: 8,
            subjects: Subjects::Plain,
            loyalty: Loyalty::Fickle,
            state: State::No,
        },
        storm: false,
        options: Options {
            topic_idle_ms: 100_000,
            ..options()
        },
        crashes: false,
        keeps: Keeps::Some,
        logs: Logs::AtHand,
        restarts: Restarts::Never,
        trace: None,
    }
}

/// All policies, patterns, credit and forgotten topics.
pub(crate) fn wide() -> Plan {
    Plan {
        clients: 10,
        script: Style {
            subjects: Subjects::All,
            ..plain().script
        },
        options: options(),
        ..plain()
    }
}

/// The same, and connections break, readers stall, and time jumps.
pub(crate) fn storm() -> Plan {
    Plan {
        cores: 3,
        storm: true,
        mailbox: 2,
        ..wide()
    }
}

/// A storm, and now and then the handler of a core panics and loses its memory. No patterns: whoever
/// has one is told of a loss by the next message of a topic only, if there is one.
pub(crate) fn crash() -> Plan {
    Plan {
        crashes: true,
        script: Style {
            subjects: Subjects::Topics,
            ..storm().script
        },
        ..storm()
    }
}

/// Few clients in each of two cores that publish as much as they can, through mailboxes for two.
pub(crate) fn flood() -> Plan {
    Plan {
        clients: 6,
        mailbox: 2,
        script: Style {
            burst: 1000,
            acts: 4,
            ..plain().script
        },
        options: Options {
            unanswered_max: 1024,
            ..plain().options
        },
        ..plain()
    }
}

/// The same in a storm in which cores lose their memory, with hardly any room for requests.
pub(crate) fn jam() -> Plan {
    Plan {
        cores: 2,
        script: Style {
            burst: 100,
            ..crash().script
        },
        options: Options {
            unanswered_max: 1024,
            core_unanswered_max: 3,
            core_unanswered_bytes: 200,
            ..crash().options
        },
        ..crash()
    }
}

/// Bounds of state that are met, and windows and graces that are over before a world is at rest.
fn with_state(options: Options) -> Options {
    Options {
        grace_ms: 6,
        state_window_ms: 3,
        state_window_bytes: 300,
        state_backlog_bytes: 500,
        state_pages_max: 1000,
        core_unanswered_max: 6,
        ..options
    }
}

/// Clients that are there for each other and type, in a storm in which handlers panic.
pub(crate) fn company() -> Plan {
    Plan {
        clients: 16,
        script: Style {
            topics: 3,
            burst: 4,
            acts: 12,
            subjects: Subjects::Topics,
            loyalty: Loyalty::Fickle,
            state: State::Yes,
        },
        options: with_state(options()),
        ..crash()
    }
}

/// The same with clients that come back, inside their grace and behind it.
pub(crate) fn reunion() -> Plan {
    Plan {
        clients: 10,
        script: Style {
            subjects: Subjects::Resumable,
            ..company().script
        },
        options: with_state(amnesia().options),
        ..amnesia()
    }
}

/// Half of those who are there for each other are applications on the Rust client.
pub(crate) fn real_company() -> Plan {
    Plan {
        clients: 6,
        apps: 6,
        ..company()
    }
}

/// Many cores with two clients each.
pub(crate) fn many() -> Plan {
    Plan {
        cores: 64,
        clients: 128,
        script: Style {
            topics: 30,
            burst: 8,
            acts: 5,
            ..wide().script
        },
        ..wide()
    }
}

/// All stay, so that whatever is missing is missed.
pub(crate) fn loyal() -> Plan {
    Plan {
        script: Style {
            loyalty: Loyalty::Stays,
            ..wide().script
        },
        // What only one client was sent, unasked, is known by the topic's end.
        options: Options {
            topics: vec![volatile(">")],
            ..plain().options
        },
        ..wide()
    }
}

/// Half of the clients are the real Rust client, over connections that break, and that the server
/// wants to be replaced.
pub(crate) fn real() -> Plan {
    Plan {
        clients: 4,
        apps: 4,
        ..storm()
    }
}

/// The same, and cores lose their memory.
fn real_crash() -> Plan {
    Plan {
        crashes: true,
        script: crash().script,
        ..real()
    }
}

/// Clients come back whenever their connections end, on any core, at once or later, from where they
/// were; and whatever is published is kept. Nothing is lost.
pub(crate) fn resume() -> Plan {
    Plan {
        clients: 8,
        script: Style {
            subjects: Subjects::Resumable,
            acts: 12,
            ..storm().script
        },
        options: Options {
            topics: Vec::new(),
            topic_idle_ms: 100_000,
            history_messages: 100_000,
            history_bytes: 1 << 30,
            history_age_ms: 3_600_000,
            history_budget_bytes: 1 << 30,
            ..options()
        },
        keeps: Keeps::Everything,
        ..storm()
    }
}

/// The same without patterns and storms of time, for bugs to be planted in.
pub(crate) fn coming_and_going() -> Plan {
    resume()
}

/// The same, and what is kept is soon let go of: readers are overtaken.
pub(crate) fn forgetful() -> Plan {
    Plan {
        options: Options {
            history_messages: 40,
            history_bytes: 8 << 10,
            history_age_ms: 2000,
            history_budget_bytes: 3 << 20,
            dedup_ms: 120_000,
            ..resume().options
        },
        keeps: Keeps::Some,
        ..resume()
    }
}

/// The same with hardly any memory for all topics of a core together.
pub(crate) fn tight() -> Plan {
    Plan {
        options: Options {
            history_budget_bytes: 64 << 10,
            ..forgetful().options
        },
        keeps: Keeps::Little,
        ..forgetful()
    }
}

/// What is kept lies elsewhere, and what is published while it is read does not fit into the little
/// that a core holds of a topic: it has to be read as well.
pub(crate) fn elsewhere() -> Plan {
    Plan {
        logs: Logs::Elsewhere,
        options: Options {
            backlog_bytes: 500,
            backlog_budget_bytes: 3 << 10,
            ..resume().options
        },
        ..resume()
    }
}

/// As forgetful, and cores lose their memory.
pub(crate) fn amnesia() -> Plan {
    Plan {
        crashes: true,
        ..forgetful()
    }
}

/// As forgetful, and the process ends, and another one takes its place.
pub(crate) fn restart() -> Plan {
    Plan {
        restarts: Restarts::Anew,
        ..forgetful()
    }
}

/// All of them, by their names.
pub(crate) fn all() -> Vec<(&'static str, Plan)> {
    vec![
        ("plain", plain()),
        ("wide", wide()),
        ("storm", storm()),
        ("crash", crash()),
        ("loyal", loyal()),
        ("flood", flood()),
        ("jam", jam()),
        ("many", many()),
        ("company", company()),
        ("reunion", reunion()),
        ("real-company", real_company()),
        ("resume", resume()),
        ("forgetful", forgetful()),
        ("elsewhere", elsewhere()),
        ("tight", tight()),
        ("amnesia", amnesia()),
        ("restart", restart()),
        ("real", real()),
        ("real-crash", real_crash()),
    ]
}
