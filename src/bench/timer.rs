//! A timer that ends a wait to the microsecond: epoll's own timeout counts in milliseconds.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::error::Error;

/// A one-shot timer (timerfd_create(2)) among the sockets of a poll.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    /// Its events come with `token`.
    pub(super) fn register(registry: &Registry, token: Token) -> Result<Self, Error> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|errno| Error::system("create a timer")(errno.into()))?;
        registry
            .register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)
            .map_err(Error::system("watch a timer"))?;
        Ok(Self(timer))
    }

    /// Fires once, after `duration`. What was set before is forgotten; it need not be read, for
    /// every expiry is a new edge.
    pub(super) fn set(&self, duration: Duration) -> Result<(), Error> {
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let time = Itimerspec {
            it_interval: never,
            it_value: Timespec {
                tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
                // All zeros would disarm it.
                tv_nsec: i64::from(duration.subsec_nanos()).max(1),
            },
        };
        timerfd_settime(self.0.as_fd(), TimerfdTimerFlags::empty(), &time)
            .map(drop)
            .map_err(|errno| Error::system("set a timer")(errno.into()))
    }
}
