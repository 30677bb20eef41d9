//! Mail from one core to another, both on one thread: what the queue and the sleep flag cost
//! themselves. Two cores also pay for the cache lines that go to and fro.

use corewire::CoreId;
use corewire::bench_parts::{Mailbox, Wake, mailboxes};
use criterion::{BenchmarkId, Throughput};

use crate::Criterion;
use crate::count;

struct Bell;

impl Wake for Bell {
    fn wake(&self) {}
}

/// The receiver sleeps, the sender sends so many and wakes it, the receiver takes them.
pub(crate) fn hop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");
    for mails in [1, 64] {
        group.throughput(Throughput::Elements(count(mails)));
        let mut boxes: Vec<Mailbox<usize>> = mailboxes(vec![Box::new(Bell), Box::new(Bell)]);
        let second = boxes.remove(1);
        let mut first = boxes.remove(0);
        let mut hop = || {
            assert!(second.may_sleep());
            for mail in 0..mails {
                assert!(first.send(CoreId(1), mail).is_ok());
            }
            first.post();
            second.woke();
            let mut sum = 0;
            for sender in second.senders() {
                while let Some(mail) = second.receive(sender) {
                    sum += mail;
                }
            }
            sum
        };
        assert_eq!(hop(), (0..mails).sum::<usize>());
        group.bench_function(BenchmarkId::new("corewire", mails), |b| b.iter(&mut hop));
    }
    group.finish();
}
