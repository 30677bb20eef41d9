//! How much the server may send: totals that grow as the application takes messages.

/// What one credit of the protocol counts, for one topic or for the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    window: Amount,
    granted: Amount,
    taken: Amount,
    /// What waits from connections before this one: it takes room in the window.
    carried: Amount,
}

/// Messages, and bytes of their data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) const fn message(bytes: u64) -> Self {
        Self { messages: 1, bytes }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Account {
    /// The server was told `granted` already, or nothing yet.
    pub(super) const fn new(window: Amount, granted: Amount) -> Self {
        Self {
            window,
            granted,
            taken: Amount {
                messages: 0,
                bytes: 0,
            },
            carried: Amount {
                messages: 0,
                bytes: 0,
            },
        }
    }

    /// Messages of earlier connections wait.
    pub(super) const fn carry(&mut self, amount: Amount) {
        self.carried = amount;
    }

    /// One of those was taken.
    pub(super) const fn take_carried(&mut self, amount: Amount) {
        self.carried = self.carried.minus(amount);
    }

    pub(super) const fn taken(&self) -> Amount {
        self.taken
    }

    pub(super) const fn take(&mut self, amount: Amount) {
        self.taken = self.taken.plus(amount);
    }

    /// Whether it is time to say more: half of the window is used up. Not each message, which
    /// would cost a message of our own.
    pub(super) const fn is_due(&self) -> bool {
        let more = self.next().minus(self.granted);
        more.messages > self.window.messages / 2 || more.bytes > self.window.bytes / 2
    }

    /// The new totals, to be told now.
    pub(super) const fn grant(&mut self) -> Amount {
        self.granted = self.next();
        self.granted
    }

    const fn next(&self) -> Amount {
        self.taken.plus(self.window.minus(self.carried))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_renewed_when_half_of_it_is_used_up() {
        let window = Amount {
            messages: 10,
            bytes: 1000,
        };
        let mut account = Account::new(window, Amount::default());
        assert!(account.is_due());
        assert_eq!(account.grant(), window);
        for _ in 0..5 {
            assert!(!account.is_due());
            account.take(Amount::message(1));
        }
        account.take(Amount::message(1));
        assert!(account.is_due());
        assert_eq!(account.grant().messages, 16);
        account.take(Amount::message(600));
        assert!(account.is_due());
        assert_eq!(account.grant().bytes, 1606);
        assert!(!account.is_due());
    }
}
