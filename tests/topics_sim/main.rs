//! The messaging layer without sockets: several cores, their mail and their clients, moved by one
//! seed, and judged by what the clients have heard.
//!
//! A step delivers some bytes, cuts a read or a write, delivers mail, leaves a mailbox full, stalls
//! a reader, breaks a connection or lets time pass. At the end all come to rest, and nothing may be
//! missing of which nobody was told. A seed that fails is printed with the command that runs it
//! again.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a failed test says its seed, and a failed unwrap is a failed test"
)]

mod app;
mod client;
mod comeback;
mod company;
mod party;
mod pictures;
mod plans;
mod plant;
mod script;
#[expect(dead_code, reason = "the engine's own simulation looks at more")]
#[path = "../sim/socket.rs"]
mod socket;
mod world;

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use corewire::messaging::Options;
use corewire_testkit::sim::Kind;

use client::Client;
use comeback::Purse;
use plans::{
    amnesia, coming_and_going, company, crash, elsewhere, flood, forgetful, jam, loyal, many,
    plain, real, real_company, restart, resume, reunion, storm, tight, wide,
};
use plant::{Bug, Tamper};
use script::Style;
use world::{Keeps, Plan, Restarts, World};

/// Tells how to run what has failed again.
struct Seed(&'static str, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "again: make simulate PLAN={} SEED={} SEEDS=1",
                self.0, self.1
            );
        }
    }
}

fn run(name: &'static str, seed: u64, plan: Plan) -> World {
    let _named = Seed(name, seed);
    let mut world = World::new(seed, plan);
    world.live(|_, _| ());
    let found = world.end();
    for anomaly in &found {
        eprintln!("{anomaly}");
    }
    assert!(found.is_empty(), "{} anomalies", found.len());
    assert_eq!(
        world.count(|counters| &counters.panics),
        world.planted_panics()
    );
    assert_eq!(world.count(|counters| &counters.requests_unanswered), 0);
    world
}

/// Runs the seeds. What was to be provoked must have been.
fn run_all(name: &'static str, seeds: Range<u64>, plan: &Plan) {
    let (mut full, mut lost, mut gaps, mut conflated) = (0, 0, 0, 0);
    for seed in seeds {
        let world = run(name, seed, plan.clone());
        full += world.count(|counters| &counters.mail_full);
        lost += world.count(|counters| &counters.publications_lost);
        gaps += world.count(|counters| &counters.gaps);
        conflated += world.count(|counters| &counters.conflated);
    }
    eprintln!("{name}: {full} times full, {lost} lost, {gaps} gaps, {conflated} conflated");
    assert!(full > 0 && lost > 0 && gaps > 0, "nothing was provoked");
}

/// Runs the seeds. Clients must have come back, about once in each.
fn run_all_resumed(name: &'static str, seeds: Range<u64>, plan: &Plan) {
    let wanted = seeds.end - seeds.start;
    let (mut returns, mut full) = (0, 0);
    for seed in seeds {
        let world = run(name, seed, plan.clone());
        returns += world.returns();
        full += world.count(|counters| &counters.mail_full);
    }
    eprintln!("{name}: {returns} times back, {full} times full");
    assert!(returns >= wanted, "hardly anybody came back");
}

/// P1, P2, P5, and one reply for each command. Complaint 22: any number of publishers, one order.
#[test]
fn two_cores_keep_the_order_and_tell_every_loss() {
    run_all("plain", 0..150, &plain());
}

/// P9 besides.
#[test]
fn whatever_is_subscribed_to_every_loss_is_told() {
    run_all("wide", 0..150, &wide());
}

#[test]
fn in_a_storm_every_loss_is_told() {
    run_all("storm", 0..150, &storm());
}

/// The other cores notice, and their clients are told by a `reset`.
#[test]
fn when_a_core_loses_its_memory_its_subscribers_are_told() {
    run_all("crash", 0..100, &crash());
}

/// P1, P2, P5 and P9 as an application has them from its client, whatever becomes of connections.
#[test]
fn an_application_is_told_every_loss_whatever_becomes_of_its_connections() {
    run_all("real", 0..150, &real());
}

/// P2, P4, P5 and P6: exactly what was missed, then what follows, in order; and what was said twice
/// is published once.
#[test]
fn whoever_comes_back_misses_nothing() {
    run_all_resumed("resume", 0..100, &resume());
}

/// And what could not be kept is told.
#[test]
fn whoever_comes_back_too_late_is_told() {
    run_all_resumed("forgetful", 0..100, &forgetful());
}

#[test]
fn whoever_comes_back_to_a_server_without_room_is_told() {
    run_all_resumed("tight", 0..60, &tight());
}

/// USERS 10, 11: whatever is published between the old connection and the new one, and while history
/// is still to be read.
#[test]
fn whoever_comes_back_misses_nothing_however_long_history_takes() {
    run_all_resumed("elsewhere", 0..60, &elsewhere());
}

#[test]
fn whoever_comes_back_to_a_core_without_its_memory_is_told() {
    run_all_resumed("amnesia", 0..100, &amnesia());
}

#[test]
fn whoever_comes_back_to_another_process_is_told() {
    run_all_resumed("restart", 0..60, &restart());
}

/// What once found something.
#[test]
fn seeds_that_found_something_find_nothing_any_more() {
    for line in include_str!("seeds.txt").lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(seed)) = (words.next(), words.next()) else {
            continue;
        };
        if name.starts_with('#') {
            continue;
        }
        let known = plans::all().into_iter().find(|(known, _)| *known == name);
        let (name, plan) = known.unwrap_or_else(|| panic!("no plan {name}"));
        run(name, seed.parse().unwrap(), plan);
    }
}

/// A publisher's thousand messages are on their way at once, in both directions.
#[test]
fn two_cores_flood_each_other() {
    run_all("flood", 0..8, &flood());
}

/// Both have no room for more requests most of the time. There are never many more than the bound.
#[test]
fn two_cores_without_room_for_requests_flood_each_other() {
    let (mut held, mut panics) = (0, 0);
    for seed in 0..100 {
        let world = run("jam", seed, jam());
        assert!(world.most_unanswered() <= 20, "seed {seed}");
        held += world.count(|counters| &counters.requests_held);
        panics += world.planted_panics();
    }
    assert!(
        held > 5000 && panics > 20,
        "{held} times held, {panics} panics"
    );
}

#[test]
fn many_cores_with_few_connections_each() {
    run_all("many", 0..2, &many());
}

/// Runs the seeds of a plan with state. What was to be provoked must have been.
fn run_all_in_company(name: &'static str, seeds: Range<u64>, plan: &Plan) -> u64 {
    let (mut told, mut marks, mut missed, mut panics, mut returns) = (0, 0, 0, 0, 0);
    for seed in seeds {
        let world = run(name, seed, plan.clone());
        told += world.count(|counters| &counters.state_told);
        marks += world.count(|counters| &counters.state_marks);
        missed += world.count(|counters| &counters.state_missed);
        panics += world.planted_panics();
        returns += world.returns();
    }
    eprintln!(
        "{name}: {told} told, {marks} marks, {missed} missed, {panics} panics, {returns} times back"
    );
    assert!(
        told > 0 && marks > 0 && missed > 0 && panics > 0,
        "nothing was provoked"
    );
    returns
}

/// P10 and P11: whatever is lost between cores, connections and lives of a core.
#[test]
fn whoever_watches_knows_who_is_there() {
    run_all_in_company("company", 0..150, &company());
}

/// The same with applications on the real Rust client among them.
#[test]
fn an_application_knows_who_is_there() {
    run_all_in_company("real-company", 0..60, &real_company());
}

/// And nobody is there twice.
#[test]
fn whoever_comes_back_is_there_once() {
    assert!(run_all_in_company("reunion", 0..100, &reunion()) > 100);
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    assert_eq!(
        run("storm", 7, storm()).trace(),
        run("storm", 7, storm()).trace()
    );
    assert_ne!(
        run("storm", 7, storm()).trace(),
        run("storm", 8, storm()).trace()
    );
}

// ── Planted bugs ──

/// How something is found that does not come: by what comes behind it, or at the end.
const MISSING: [Kind; 4] = [
    Kind::LostWrite,
    Kind::InternalSkip,
    Kind::Unobserved,
    // The next word was a `pos` or a `conflated`, which covers it now.
    Kind::FalseAccount,
];

/// Plants a bug between the server and its first clients. Returns how often it struck; each time
/// one of these must be found.
fn plant(bug: Bug, expected: &[Kind]) -> usize {
    plant_in(&loyal(), bug, expected)
}

fn plant_in(plan: &Plan, bug: Bug, expected: &[Kind]) -> usize {
    let mut strikes = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, plan.clone());
        let struck = Rc::new(Cell::new(false));
        world.live(|client: &mut Client, random| {
            client.tamper(Tamper::new(bug, random.below(20), &struck));
        });
        let found = world.end();
        if struck.get() {
            strikes += 1;
            assert!(
                found.iter().any(|anomaly| expected.contains(&anomaly.kind)),
                "{bug:?} in seed {seed} was not caught: {found:?}"
            );
        } else {
            assert!(found.is_empty(), "seed {seed}: {found:?}");
        }
    }
    strikes
}

/// Lets worlds live with something that is wrong. In how many one of these is found.
fn caught_in(plan: &Plan, expected: &[Kind], mut newcomer: impl FnMut(&mut Client)) -> usize {
    let worlds = (0..40).filter(|&seed| {
        let mut world = World::new(seed, plan.clone());
        world.live(|client, _| newcomer(client));
        let found = world.end();
        found.iter().any(|anomaly| expected.contains(&anomaly.kind))
    });
    worlds.count()
}

#[test]
fn a_replay_that_begins_one_too_late_is_caught() {
    assert!(plant_in(&coming_and_going(), Bug::ReplayOffByOne, &MISSING) > 20);
}

#[test]
fn a_lost_page_of_history_is_caught() {
    assert!(plant_in(&coming_and_going(), Bug::PageLost, &MISSING) > 20);
}

#[test]
fn a_message_lost_between_history_and_what_follows_is_caught() {
    let plan = Plan {
        script: Style {
            burst: 100,
            ..coming_and_going().script
        },
        ..coming_and_going()
    };
    assert!(plant_in(&plan, Bug::AttachRace, &MISSING) > 5);
}

/// What did not fit into the gate while history was read is not read either.
#[test]
fn a_lost_overflow_of_the_gate_is_caught() {
    let plan = Plan {
        script: Style {
            burst: 100,
            ..coming_and_going().script
        },
        ..coming_and_going()
    };
    assert!(plant_in(&plan, Bug::OverflowLost, &MISSING) > 5);
}

/// A connection that ends before anything else is said has not noticed it, and its next one is told
/// nothing more.
#[test]
fn a_hidden_reset_is_caught() {
    let plan = Plan {
        restarts: Restarts::Anew,
        ..coming_and_going()
    };
    let kinds = [MISSING.as_slice(), &[Kind::Misplaced]].concat();
    let caught = caught_in(&plan, &kinds, |client| {
        client.tamper(Tamper::new(Bug::HiddenReset, 0, &Rc::default()));
    });
    assert!(caught > 10, "{caught}");
}

#[test]
fn a_memory_of_publications_that_is_too_short_is_caught() {
    let plan = Plan {
        options: Options {
            dedup_numbers_max: 1,
            dedup_keys_max: 1,
            dedup_ms: 1,
            history_age_ms: 1,
            ..coming_and_going().options
        },
        keeps: Keeps::Some,
        ..coming_and_going()
    };
    assert!(caught_in(&plan, &[Kind::Duplicate], |_| ()) > 5);
}

#[test]
fn an_epoch_kept_over_a_restart_is_caught() {
    let plan = Plan {
        restarts: Restarts::AsItWas,
        ..coming_and_going()
    };
    let kinds = [
        Kind::InconsistentOffsets,
        Kind::Duplicate,
        Kind::InternalNonmonotonic,
        Kind::FalseAccount,
        Kind::LostWrite,
    ];
    let caught = caught_in(&plan, &kinds, |_| ());
    assert!(caught > 10, "{caught}");
}

#[test]
fn a_ticket_that_makes_a_client_somebody_else_is_caught() {
    let caught = caught_in(&coming_and_going(), &[Kind::Impostor], |client| {
        client.steals(&PURSE.with(Rc::clone));
    });
    assert!(caught > 20, "{caught}");
}

thread_local! {
    static PURSE: Purse = Purse::default();
}

#[test]
fn a_planted_duplicate_is_caught() {
    assert!(plant(Bug::Duplicate, &[Kind::Duplicate]) > 40);
}

#[test]
fn a_planted_swap_is_caught() {
    assert!(plant(Bug::Swap, &[Kind::InternalNonmonotonic]) > 20);
}

#[test]
fn a_planted_loss_is_caught() {
    assert!(plant(Bug::Loss, &MISSING) > 40);
}

#[test]
fn a_hidden_gap_is_caught() {
    assert!(plant(Bug::HiddenGap, &MISSING) > 20);
}

#[test]
fn a_hidden_conflation_is_caught() {
    assert!(plant(Bug::HiddenConflation, &MISSING) > 10);
}

#[test]
fn a_second_reply_is_caught() {
    assert!(plant(Bug::SecondReply, &[Kind::AnsweredTwice]) > 40);
}

#[test]
fn a_missing_reply_is_caught() {
    assert!(plant(Bug::NoReply, &[Kind::Unanswered]) > 40);
}

/// Most often another wake-up follows. When none does, what it should have brought is missing.
#[test]
fn a_lost_wake_up_is_caught() {
    let mut caught = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, loyal());
        let chances = world.random.below(300);
        world.faults(0).forgets_fill.set(Some(chances));
        world.live(|_, _| ());
        let found = world.end();
        let kinds = [Kind::Unobserved, Kind::Unanswered];
        assert!(
            found.iter().all(|anomaly| kinds.contains(&anomaly.kind)),
            "{found:?}"
        );
        caught += usize::from(!found.is_empty());
    }
    assert!(caught > 0, "never caught");
}

#[test]
fn whoever_is_not_told_any_more_who_is_there_is_noticed() {
    let caught = caught_in(&company(), &[Kind::FalsePicture], |client| {
        client.tamper(Tamper::new(Bug::HiddenCompany, 2, &Rc::default()));
    });
    assert!(caught > 20, "{caught}");
}

#[test]
fn whoever_is_not_told_that_somebody_has_stopped_typing_is_noticed() {
    let caught = caught_in(&company(), &[Kind::Lingering], |client| {
        client.tamper(Tamper::new(Bug::HiddenEnd, 0, &Rc::default()));
    });
    assert!(caught > 10, "{caught}");
}

/// Nobody leaves any more, and nothing ends by its time.
#[test]
fn a_core_whose_alarms_do_not_come_is_noticed() {
    let mut caught = [0; 2];
    for seed in 0..40 {
        let mut world = World::new(seed, company());
        let chances = world.random.below(20);
        world.faults(0).forgets_alarms.set(Some(chances));
        world.live(|_, _| ());
        let found = world.end();
        for (kind, caught) in [Kind::FalsePicture, Kind::Lingering]
            .iter()
            .zip(&mut caught)
        {
            *caught += usize::from(found.iter().any(|anomaly| anomaly.kind == *kind));
        }
    }
    assert!(caught.iter().all(|caught| *caught > 5), "{caught:?}");
}

/// `make simulate`: fresh seeds of all plans, or what `PLAN`, `SEED` and `SEEDS` say. `TRACE` names
/// a client whose words are printed.
#[test]
#[ignore = "runs as long as it is told to, by `make simulate`"]
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment what to do"
)]
fn simulate() {
    let told = |name| std::env::var(name).ok().filter(|told| !told.is_empty());
    let number = |name| told(name).map(|told| told.parse::<u64>().unwrap());
    let first = number("SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 24);
    let seeds = number("SEEDS").unwrap_or(100);
    eprintln!("the first seed is {first}");
    for (name, plan) in plans::all() {
        if told("PLAN").is_none_or(|told| told == name) {
            for seed in first..first + seeds {
                run(
                    name,
                    seed,
                    Plan {
                        trace: told("TRACE"),
                        ..plan.clone()
                    },
                );
            }
        }
    }
}
