//! Typed mail between cores: the only thing that they share.
//!
//! There is one bounded lock-free queue for each ordered pair of cores, first in, first out.
//! Nobody waits for a queue: mail that does not fit is handed back to its sender. A core is woken
//! once a batch, and only when it sleeps:
//!
//! ```text
//!   sleeper                              sender
//!     asleep = true                        push
//!     fence(SeqCst)                        fence(SeqCst)
//!     look into the queues once more       asleep? then clear it and wake
//!     wait, unless there is mail
//! ```
//!
//! The two fences make sure that at least one of them sees what the other wrote: the sleeper the
//! mail, or the sender the flag. So no mail lies in a queue while its core sleeps. `tests/loom`
//! tries this file in every order, and without either fence.

use std::sync::Arc;

use crate::ids::CoreId;
use crate::sync::{ArrayQueue, AtomicBool, CachePadded, Ordering, fence};

/// Mail that fits into all the queues to one core together.
const ENTRIES_OF_A_CORE: usize = 1 << 16;

/// Mail that fits into one queue before it is handed back: some milliseconds of a flood, in which
/// the receiver may not have run. Where there are many queues, each is smaller.
fn queue_entries(cores: usize) -> usize {
    (ENTRIES_OF_A_CORE / cores).clamp(1 << 10, 1 << 14)
}

/// Wakes a core that waits for its sockets.
pub trait Wake: Send + Sync {
    /// Has its wait return.
    fn wake(&self);
}

/// One core's end of all the queues.
pub struct Mailbox<M> {
    core: CoreId,
    office: Arc<Office<M>>,
    /// Cores that were sent something since the last [`post`](Self::post).
    sent_to: Vec<bool>,
}

/// What all the mailboxes of a server share.
struct Office<M> {
    /// The queue from core `from` to core `to` stands at `from * cores + to`.
    queues: Vec<ArrayQueue<M>>,
    sleepers: Vec<CachePadded<AtomicBool>>,
    wakers: Vec<Box<dyn Wake>>,
}

/// Mail that its queue had no room for.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<M>(pub M);

/// Makes the mailboxes of as many cores as there are wakers.
pub fn mailboxes<M>(wakers: Vec<Box<dyn Wake>>) -> Vec<Mailbox<M>> {
    let entries = queue_entries(wakers.len());
    mailboxes_of(wakers, entries)
}

fn mailboxes_of<M>(wakers: Vec<Box<dyn Wake>>, queue_entries: usize) -> Vec<Mailbox<M>> {
    let cores = wakers.len();
    let office = Arc::new(Office {
        queues: (0..cores * cores)
            .map(|_| ArrayQueue::new(queue_entries))
            .collect(),
        sleepers: (0..cores)
            .map(|_| CachePadded::new(AtomicBool::new(false)))
            .collect(),
        wakers,
    });
    (0..cores)
        .filter_map(|core| u8::try_from(core).ok())
        .map(|core| Mailbox {
            core: CoreId(core),
            office: Arc::clone(&office),
            sent_to: vec![false; cores],
        })
        .collect()
}

impl<M> Mailbox<M> {
    /// Puts mail into the queue to `to`.
    ///
    /// # Errors
    ///
    /// [`Full`] hands the mail back, also if there is no such core.
    pub fn send(&mut self, to: CoreId, mail: M) -> Result<(), Full<M>> {
        let cores = self.sent_to.len();
        let Some(sent) = self.sent_to.get_mut(to.index()) else {
            return Err(Full(mail));
        };
        self.office.queues[self.core.index() * cores + to.index()]
            .push(mail)
            .map_err(Full)?;
        *sent = true;
        Ok(())
    }

    /// Wakes the cores that were sent something and sleep. Called once a turn.
    pub fn post(&mut self) {
        if !self.sent_to.contains(&true) {
            return;
        }
        fence(Ordering::SeqCst);
        for (core, sent) in self.sent_to.iter_mut().enumerate() {
            if std::mem::take(sent) && self.office.sleepers[core].swap(false, Ordering::Relaxed) {
                self.office.wakers[core].wake();
            }
        }
    }

    /// The next mail from a core to this one.
    pub fn receive(&self, from: CoreId) -> Option<M> {
        self.office
            .queues
            .get(from.index() * self.sent_to.len() + self.core.index())?
            .pop()
    }

    /// The cores that may have sent something.
    pub fn senders(&self) -> impl Iterator<Item = CoreId> + use<M> {
        (0..self.sent_to.len()).filter_map(|core| u8::try_from(core).ok().map(CoreId))
    }

    /// Whether there is mail for this core.
    pub(crate) fn has_mail(&self) -> bool {
        self.senders().any(|from| !self.queue_from(from).is_empty())
    }

    /// Announces that this core is about to wait. Returns false if it must not, because there is
    /// mail.
    pub fn may_sleep(&self) -> bool {
        self.office.sleepers[self.core.index()].store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let has_mail = self.has_mail();
        if has_mail {
            self.woke();
        }
        !has_mail
    }

    /// Announces that this core is awake.
    pub fn woke(&self) {
        self.office.sleepers[self.core.index()].store(false, Ordering::Relaxed);
    }

    fn queue_from(&self, from: CoreId) -> &ArrayQueue<M> {
        &self.office.queues[from.index() * self.sent_to.len() + self.core.index()]
    }
}

impl<M> std::fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({} of {})", self.core, self.sent_to.len())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    use super::*;

    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(&self) {
            let _ = self.0.send(());
        }
    }

    fn pair() -> (Mailbox<u32>, Mailbox<u32>, mpsc::Receiver<()>) {
        let (quiet, _) = mpsc::channel();
        let (bell, rung) = mpsc::channel();
        let mut boxes = mailboxes(vec![Box::new(Bell(quiet)), Box::new(Bell(bell))]);
        let second = boxes.pop().unwrap();
        (boxes.pop().unwrap(), second, rung)
    }

    #[test]
    fn mail_keeps_its_order_and_a_full_queue_hands_it_back() {
        let (mut first, second, _rung) = pair();
        for number in 0..1 << 14 {
            assert_eq!(first.send(CoreId(1), number), Ok(()));
        }
        assert_eq!(first.send(CoreId(1), 1 << 14), Err(Full(1 << 14)));
        assert_eq!(first.send(CoreId(9), 1), Err(Full(1)));
        for number in 0..1 << 14 {
            assert_eq!(second.receive(CoreId(0)), Some(number));
        }
        assert_eq!(second.receive(CoreId(0)), None);
    }

    #[test]
    fn a_sleeper_is_woken_once_a_batch_and_a_waking_core_never() {
        let (mut first, second, rung) = pair();
        first.send(CoreId(1), 1).unwrap();
        first.post();
        assert!(rung.try_recv().is_err(), "it was awake");
        assert!(!second.may_sleep(), "there is mail");
        assert_eq!(second.receive(CoreId(0)), Some(1));
        assert!(second.may_sleep());
        first.send(CoreId(1), 2).unwrap();
        first.send(CoreId(1), 3).unwrap();
        first.post();
        first.send(CoreId(1), 4).unwrap();
        first.post();
        assert!(
            rung.try_recv().is_ok() && rung.try_recv().is_err(),
            "one bell for all three"
        );
    }

    /// The real queue under load. The sender waits until each batch was taken, so that no later one
    /// makes good for a lost wake-up: the receiver would be left asleep for ever.
    #[test]
    fn no_mail_is_left_while_its_core_sleeps() {
        let (mut first, second, rung) = pair();
        let total = 200_000;
        let taken = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&taken);
        let sender = std::thread::Builder::new()
            .spawn(move || {
                for number in 0..total {
                    first.send(CoreId(1), number).unwrap();
                    if number % 7 == 0 || number + 1 == total {
                        first.post();
                        while seen.load(Ordering::Relaxed) <= number {
                            std::thread::yield_now();
                        }
                    }
                }
            })
            .unwrap();
        let mut expected = 0;
        while expected < total {
            while let Some(number) = second.receive(CoreId(0)) {
                assert_eq!(number, expected);
                expected += 1;
                taken.store(expected, Ordering::Relaxed);
            }
            // A core has more to do between its mail and its sleep: it may come at any moment.
            for _ in 0..expected % 1024 {
                std::hint::spin_loop();
            }
            if expected < total && second.may_sleep() {
                rung.recv_timeout(std::time::Duration::from_secs(20))
                    .expect("a lost wake-up");
            }
        }
        sender.join().unwrap();
    }

    #[test]
    fn what_was_not_received_goes_with_the_last_mailbox() {
        let letter = Arc::new(());
        let mut boxes = mailboxes(vec![Box::new(Bell(mpsc::channel().0))]);
        for _ in 0..3 {
            boxes[0].send(CoreId(0), Arc::clone(&letter)).unwrap();
        }
        assert!(boxes[0].receive(CoreId(0)).is_some());
        assert_eq!(Arc::strong_count(&letter), 3);
        drop(boxes);
        assert_eq!(Arc::strong_count(&letter), 1);
    }

    /// The real queues under load: a lost wake-up would leave a core asleep for ever.
    #[test]
    fn cores_that_write_to_each_other_get_everything_in_order() {
        let (bells, rung): (Vec<_>, Vec<_>) = (0..CORES).map(|_| mpsc::channel()).unzip();
        let wakers = bells.into_iter().map(|bell| Box::new(Bell(bell)) as _);
        // Small ones, so that they are full at times.
        let boxes = mailboxes_of(wakers.collect(), 1024);
        let cores: Vec<_> = boxes
            .into_iter()
            .zip(rung)
            .map(Correspondent::new)
            .collect();
        let cores: Vec<_> = std::thread::scope(|scope| {
            let running = cores.into_iter().map(|core| scope.spawn(|| core.run()));
            let running: Vec<_> = running.collect();
            running
                .into_iter()
                .map(|core| core.join().unwrap())
                .collect()
        });
        let sum = |count: fn(&Correspondent) -> usize| cores.iter().map(count).sum::<usize>();
        assert!(sum(|core| core.slept) > 500, "nobody had to be woken");
        assert!(sum(|core| core.full) > 10, "no queue was ever full");
    }

    const CORES: usize = 4;
    /// From each core to each other.
    const LETTERS: u32 = 100_000;

    /// On the heap, so that a letter that is lost, or taken twice, is noticed by tools too.
    type Post = Box<Letter>;

    #[derive(Debug, PartialEq, Eq)]
    enum Letter {
        Question(u32),
        Answer(u32),
    }

    /// A core that writes letters, and answers those of others.
    struct Correspondent {
        mailbox: Mailbox<Post>,
        rung: mpsc::Receiver<()>,
        /// With each core.
        letters: [Correspondence; CORES],
        slept: usize,
        full: usize,
        /// Of xorshift32.
        seed: u32,
    }

    #[derive(Default)]
    struct Correspondence {
        /// How far the questions may be ahead of the answers.
        ahead: u32,
        asked: u32,
        answers: u32,
        questions: u32,
        answered: u32,
    }

    impl Correspondent {
        fn new((mailbox, rung): (Mailbox<Post>, mpsc::Receiver<()>)) -> Self {
            let mut letters: [Correspondence; CORES] = Default::default();
            letters[mailbox.core.index()] = Correspondence::OVER;
            Self {
                seed: 1 + u32::from(mailbox.core.0),
                mailbox,
                rung,
                letters,
                slept: 0,
                full: 0,
            }
        }

        fn run(mut self) -> Self {
            while !self.letters.iter().all(Correspondence::is_over) {
                self.receive();
                let all_fit = self.write();
                self.mailbox.post();
                // Nothing is left to do but what others will write.
                let waits = all_fit && !self.letters.iter().all(Correspondence::is_over);
                if waits && self.mailbox.may_sleep() {
                    let patience = std::time::Duration::from_secs(60);
                    self.rung.recv_timeout(patience).expect("a lost wake-up");
                    self.mailbox.woke();
                    self.slept += 1;
                }
            }
            self
        }

        fn receive(&mut self) {
            for from in self.mailbox.senders() {
                let letters = &mut self.letters[from.index()];
                while let Some(letter) = self.mailbox.receive(from) {
                    let (expected, count) = match *letter {
                        Letter::Question(_) => {
                            (Letter::Question(letters.questions), &mut letters.questions)
                        }
                        Letter::Answer(_) => {
                            (Letter::Answer(letters.answers), &mut letters.answers)
                        }
                    };
                    assert_eq!(*letter, expected, "from {from}");
                    *count += 1;
                }
            }
        }

        /// Answers all questions, and asks a few or many ahead of the answers. Returns false if
        /// not all of it fit.
        fn write(&mut self) -> bool {
            for to in self.mailbox.senders() {
                let ahead = self.ahead();
                let letters = &mut self.letters[to.index()];
                if letters.asked == letters.answers {
                    letters.ahead = ahead;
                }
                while let Some((letter, count)) = letters.next() {
                    if let Err(Full(back)) = self.mailbox.send(to, Box::new(letter)) {
                        drop(back);
                        std::thread::yield_now();
                        self.full += 1;
                        return false;
                    }
                    *count += 1;
                }
            }
            true
        }

        fn ahead(&mut self) -> u32 {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 17;
            self.seed ^= self.seed << 5;
            match self.seed % 32 {
                0 => 1500,
                1 => 100,
                few => 1 + few % 3,
            }
        }
    }

    impl Correspondence {
        const OVER: Self = Self {
            asked: LETTERS,
            answers: LETTERS,
            questions: LETTERS,
            answered: LETTERS,
            ahead: 0,
        };

        fn next(&mut self) -> Option<(Letter, &mut u32)> {
            if self.answered < self.questions {
                return Some((Letter::Answer(self.answered), &mut self.answered));
            }
            let may_ask = self.asked < LETTERS && self.asked - self.answers < self.ahead;
            may_ask.then_some((Letter::Question(self.asked), &mut self.asked))
        }

        fn is_over(&self) -> bool {
            let counts = [self.asked, self.answers, self.questions, self.answered];
            counts == [LETTERS; 4]
        }
    }
}
