//! The task of a client: opens connections, wakes the machine in time, fetches tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time;

use crate::machine::{Action, LinkId};
use crate::shared::Shared;
use crate::socket::{self, Dial};

/// The wall's clock is ahead by so much: the machine was suspended, and no timer has noticed.
const SUSPENDED_MS: u64 = 30_000;

/// What fetches a token: the token, or why there is none.
pub(crate) type TokenFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// A source of tokens.
#[derive(Clone)]
pub(crate) struct Tokens(pub(crate) Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Debug)]
struct Driver {
    shared: Arc<Shared>,
    dial: Dial,
    tokens: Option<Tokens>,
    /// At most two live at a time: a connection and the one that it replaces.
    tasks: BTreeMap<LinkId, AbortHandle>,
    suspended_ms: u64,
}

/// Runs until the client has stopped.
pub(crate) async fn run(shared: Arc<Shared>, dial: Dial, tokens: Option<Tokens>) {
    let mut driver = Driver {
        suspended_ms: shared.clock.suspended_ms(),
        shared,
        dial,
        tokens,
        tasks: BTreeMap::new(),
    };
    loop {
        while let Some(action) = driver.next_action() {
            driver.act(action);
        }
        if !driver.sleep().await {
            break;
        }
    }
    for task in driver.tasks.values() {
        task.abort();
    }
}

impl Driver {
    fn next_action(&self) -> Option<Action> {
        self.shared.lock().machine.next_action()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { link, url } => {
                self.tasks.retain(|_, task| !task.is_finished());
                let wanted = Arc::new(Notify::new());
                self.shared.lock().links.insert(link, wanted.clone());
                let (shared, dial) = (self.shared.clone(), self.dial.clone());
                let task = tokio::spawn(socket::run(shared, link, url, dial, wanted));
                self.tasks.insert(link, task.abort_handle());
            }
            Action::Abort { link } => {
                self.shared.lock().links.remove(&link);
                if let Some(task) = self.tasks.remove(&link) {
                    task.abort();
                }
            }
            Action::Token => {
                let shared = self.shared.clone();
                let fetched = self.tokens.as_ref().map(|tokens| (tokens.0)());
                tokio::spawn(async move {
                    let answer = match fetched {
                        Some(fetched) => fetched.await,
                        None => Err("no source of tokens was given".to_owned()),
                    };
                    let answer = answer.as_deref().map_err(String::as_str);
                    shared.with(|machine, now_ms| machine.token(answer, now_ms));
                });
            }
        }
    }

    /// Waits for something to do. `false` when there never will be.
    async fn sleep(&mut self) -> bool {
        let (deadline_ms, stopped) = {
            let mut core = self.shared.lock();
            let deadline_ms = core.machine.deadline_ms();
            core.sleeps_until_ms = Some(deadline_ms.unwrap_or(u64::MAX));
            (
                deadline_ms,
                core.machine.has_stopped() && !core.machine.has_actions(),
            )
        };
        if stopped {
            return false;
        }
        let clock = &self.shared.clock;
        match deadline_ms {
            Some(at_ms) => tokio::select! {
                () = self.shared.driver.notified() => {}
                () = time::sleep_until(clock.at(at_ms)) => {}
            },
            None => self.shared.driver.notified().await,
        }
        let suspended_ms = clock.suspended_ms();
        let woke = suspended_ms.saturating_sub(self.suspended_ms) > SUSPENDED_MS;
        self.suspended_ms = suspended_ms;
        self.shared.with(|machine, now_ms| {
            if woke {
                machine.woke();
            }
            if machine.deadline_ms().is_some_and(|at_ms| at_ms <= now_ms) {
                machine.timeout(now_ms);
            }
        });
        true
    }
}
