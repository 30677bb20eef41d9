//! Mail from one core to another.

use corewire::CoreId;
use corewire::bench_parts::{Mailbox, Wake, mailboxes};

use crate::{Entry, Piece};

pub(crate) const PIECES: &[Entry] = &[
    ("mailbox/1-to-a-sleeper", || hop(1)),
    ("mailbox/64-to-a-sleeper", || hop(64)),
];

struct Bell;

impl Wake for Bell {
    fn wake(&self) {}
}

/// The receiver sleeps, the sender sends so many and wakes it, the receiver takes them all.
fn hop(mails: u64) -> Piece {
    let mut boxes: Vec<Mailbox<u64>> = mailboxes(vec![Box::new(Bell), Box::new(Bell)]);
    let second = boxes.remove(1);
    let mut first = boxes.remove(0);
    Box::new(move || {
        assert!(second.may_sleep());
        for mail in 0..mails {
            assert!(first.send(CoreId(1), mail).is_ok());
        }
        first.post();
        second.woke();
        let mut taken = 0;
        for sender in second.senders() {
            while let Some(mail) = second.receive(sender) {
                assert_eq!(mail, taken);
                taken += 1;
            }
        }
        assert_eq!(taken, mails);
    })
}
