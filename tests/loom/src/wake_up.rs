//! No mail lies in a queue while its core sleeps. loom panics where nobody can go on.

use loom::thread;

use crate::sync::{Fences, PLACES, set_fences};
use crate::world::{Core, cores};

#[test]
fn mail_wakes_its_core() {
    model_bounded(|| letters(Fences::Stand, Fences::Stand));
}

#[test]
#[should_panic(expected = "deadlock")]
fn not_without_the_senders_fence() {
    model_bounded(|| letters(Fences::AreForgotten, Fences::Stand));
}

#[test]
#[should_panic(expected = "deadlock")]
fn not_without_the_sleepers_fence() {
    model_bounded(|| letters(Fences::Stand, Fences::AreForgotten));
}

/// One letter, then two in one batch.
fn letters(senders: Fences, sleepers: Fences) {
    let [mut sender, sleeper] = cores();
    let bell = sleeper.bell.clone();
    let sender = thread::spawn(move || {
        set_fences(senders);
        assert_eq!(sender.send(1, [1]), 1);
        sender.mailbox.post();
        let fit = sender.send(1, [2, 3]);
        sender.mailbox.post();
        fit
    });
    set_fences(sleepers);
    let mut received = sleeper.receive(2);
    let fit = sender.join().unwrap();
    received.extend(sleeper.take());
    assert_eq!(received, [1, 2, 3][..1 + fit]);
    assert!(bell.count() <= 2, "more than once a batch");
}

#[test]
fn of_two_senders_none_relies_on_the_other() {
    model_bounded(|| {
        let [first, second, sleeper] = cores();
        let senders = [(first, 10), (second, 20)].map(|(mut core, letter): (Core, u32)| {
            thread::spawn(move || {
                core.send(2, [letter]);
                core.mailbox.post();
            })
        });
        let mut received = sleeper.receive(2);
        received.sort_unstable();
        assert_eq!(received, [10, 20]);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn two_cores_that_wait_for_each_other() {
    model_bounded(|| {
        let [mut first, mut second] = cores();
        let answering = thread::spawn(move || {
            let asked = second.receive(1)[0];
            second.send(0, [asked + 1]);
            second.mailbox.post();
        });
        first.send(1, [1]);
        first.mailbox.post();
        assert_eq!(first.receive(1), [2]);
        answering.join().unwrap();
    });
}

#[test]
fn a_full_queue_loses_nothing() {
    model_bounded(|| {
        let [mut sender, sleeper] = cores();
        let sender = thread::spawn(move || {
            // One is too many until the sleeper has taken another.
            let fit = sender.send(1, 0..=PLACES as u32);
            sender.mailbox.post();
            fit
        });
        let mut received = sleeper.receive(PLACES);
        let fit = sender.join().unwrap();
        received.extend(sleeper.take());
        assert_eq!(received, [0, 1, 2][..fit]);
    });
}

/// All orders with up to five interruptions of a thread that could have gone on. There are far more
/// without that bound, but who is to be interrupted six times for a bug that five do not show?
pub(crate) fn model_bounded(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(5);
    model.check(test);
}
