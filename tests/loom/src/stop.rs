//! A stop reaches every core, and before it ends a core finds all the mail that was posted before.

use std::sync::Arc;

use loom::thread;

use crate::control::Control;
use crate::wake_up::model_bounded;
use crate::world::{Core, boxed, cores};

#[test]
fn a_core_that_goes_to_sleep_is_stopped() {
    loom::model(|| {
        let [core] = cores();
        let control = control(&[&core]);
        let stopping = {
            let control = Arc::clone(&control);
            thread::spawn(move || control.stop())
        };
        while !control.is_stopping() {
            core.rest();
        }
        stopping.join().unwrap();
    });
}

#[test]
fn what_was_posted_before_the_stop_is_found_after_it() {
    model_bounded(|| {
        let [mut sender, sleeper] = cores();
        let control = control(&[&sender, &sleeper]);
        let stopping = {
            let control = Arc::clone(&control);
            thread::spawn(move || {
                sender.send(1, [1, 2]);
                sender.mailbox.post();
                control.stop();
            })
        };
        let mut received = Vec::new();
        while !control.is_stopping() {
            sleeper.rest();
            received.extend(sleeper.take());
        }
        received.extend(sleeper.take());
        assert_eq!(received, [1, 2]);
        stopping.join().unwrap();
    });
}

fn control(cores: &[&Core]) -> Arc<Control> {
    let wakers = cores.iter().map(|core| boxed(core.bell.clone())).collect();
    Arc::new(Control::new(wakers))
}
