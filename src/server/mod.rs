//! The roof: binds, starts one thread per core, waits for signals.

mod descriptors;
mod options;
#[cfg(feature = "messaging")]
mod pages;
mod panics;
#[cfg(feature = "messaging")]
mod random;
#[cfg(feature = "messaging")]
mod site;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use corewire_protocol::deflate::InflateBudget;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::engine::{Core, Service, Shard, Shared};
use crate::ids::CoreId;
use crate::mailbox::{Wake, mailboxes};
use crate::metrics::Counters;
use crate::runtime::{
    Clock, Control, LISTENERS_MAX, Listener, Reactor, ReactorOptions, bind_group, new_poll,
};

pub use crate::runtime::BindError;
pub use descriptors::{connections_possible, raise_descriptor_limit};
pub use options::Options;
pub use panics::log_panics;
#[cfg(feature = "messaging")]
pub use random::{random_key, random_seed};
#[cfg(feature = "messaging")]
pub use site::{Site, SiteHandler, SiteSession};

/// Cores that one server can have: a [`CoreId`] is a byte.
pub const CORES_MAX: usize = 256;

/// A server that is not started.
///
/// ```no_run
/// # use corewire::{Server, server::Site};
/// Server::new(Site::default()).listen("127.0.0.1:9001".parse()?).run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server<S> {
    service: S,
    options: Options,
}

/// A server whose sockets are bound and whose threads are not started.
#[derive(Debug)]
pub struct BoundServer<S> {
    service: S,
    options: Options,
    addresses: Vec<SocketAddr>,
    /// For each core, its listeners.
    listeners: Vec<Vec<Listener>>,
}

/// A server that serves.
#[derive(Debug)]
pub struct RunningServer {
    threads: Vec<JoinHandle<io::Result<usize>>>,
    control: Arc<Control>,
    addresses: Vec<SocketAddr>,
    counters: Arc<[Arc<Counters>]>,
}

/// Stops a running server from another thread.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Control>);

/// Why a server does not serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// There is no address to listen on.
    NoAddress,
    /// More addresses than 1,024.
    Addresses(usize),
    /// More cores than [`CORES_MAX`], or none.
    Cores(usize),
    /// More event loops are to spin than there are processors for this process.
    Spin {
        /// The loops.
        cores: usize,
        /// The processors.
        processors: usize,
    },
    /// The system refused something else.
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::NoAddress => f.write_str("no address to listen on: give at least one"),
            Self::Addresses(addresses) => write!(
                f,
                "{addresses} addresses to listen on: a server has {LISTENERS_MAX} at most"
            ),
            Self::Cores(cores) => {
                write!(f, "{cores} cores: a server has from 1 to {CORES_MAX}")
            }
            Self::Spin { cores, processors } => write!(
                f,
                "{cores} event loops cannot spin on {processors} processor{}: one would keep another \
                 from running; set --cores {processors} or --spin-us 0",
                if *processors == 1 { "" } else { "s" },
            ),
            Self::System { action, source } => write!(f, "cannot {action}: {source}"),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::System { source, .. } => Some(source),
            Self::NoAddress | Self::Addresses(_) | Self::Cores(_) | Self::Spin { .. } => None,
        }
    }
}

fn cannot(action: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |source| ServerError::System { action, source }
}

impl<S: Service> Server<S> {
    /// A server with default options.
    #[must_use]
    pub fn new(service: S) -> Self {
        Self::with_options(service, Options::default())
    }

    /// A server with these options.
    #[must_use]
    pub const fn with_options(service: S, options: Options) -> Self {
        Self { service, options }
    }

    /// Listens on this address and no other.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.options.listen = vec![address];
        self
    }

    /// Runs so many event loops.
    #[must_use]
    pub const fn cores(mut self, cores: usize) -> Self {
        self.options.cores = Some(cores);
        self
    }

    /// Binds and listens. From here on clients can connect; they are served after
    /// [`BoundServer::start`].
    ///
    /// # Errors
    ///
    /// [`ServerError`]: the address is in use, not this machine's, or not allowed.
    pub fn bind(self) -> Result<BoundServer<S>, ServerError> {
        let Self {
            service,
            mut options,
        } = self;
        let connections_max = &mut options.engine.connections_max;
        *connections_max = connections_possible().min(*connections_max);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let cores = options.cores.unwrap_or_else(|| processors.min(64));
        if options.spin_us > 0 && cores > processors {
            return Err(ServerError::Spin { cores, processors });
        }
        if cores == 0 || cores > CORES_MAX {
            return Err(ServerError::Cores(cores));
        }
        if options.listen.is_empty() {
            return Err(ServerError::NoAddress);
        }
        if options.listen.len() > LISTENERS_MAX {
            return Err(ServerError::Addresses(options.listen.len()));
        }
        let mut listeners: Vec<Vec<Listener>> = (0..cores).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for &address in &options.listen {
            let group = bind_group(address, cores, options.backlog).map_err(ServerError::Bind)?;
            addresses.extend(group.first().map(|listener| listener.address));
            for (of_core, listener) in listeners.iter_mut().zip(group) {
                of_core.push(listener);
            }
        }
        Ok(BoundServer {
            service,
            options,
            addresses,
            listeners,
        })
    }

    /// Binds, serves until SIGTERM or SIGINT, and lets the connections end.
    ///
    /// # Errors
    ///
    /// [`ServerError`] if it cannot start, or the event loop of a core has failed.
    pub fn run(self) -> Result<(), ServerError> {
        self.bind()?.start()?.run_until_signal()
    }
}

impl<S: Service> BoundServer<S> {
    /// The addresses that are listened on, with their real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many cores will serve.
    #[must_use]
    pub const fn cores(&self) -> usize {
        self.listeners.len()
    }

    /// Starts one thread for each core.
    ///
    /// # Errors
    ///
    /// [`ServerError::System`] if there are no descriptors or threads left.
    pub fn start(self) -> Result<RunningServer, ServerError> {
        let cores = self.cores();
        let polls = (0..cores)
            .map(|_| new_poll())
            .collect::<io::Result<Vec<_>>>()
            .map_err(cannot("make an event loop"))?;
        let wakers = || -> Vec<Box<dyn Wake>> {
            let wakers = polls.iter().map(|(_, waker)| waker.clone());
            wakers
                .map(|waker| Box::new(waker) as Box<dyn Wake>)
                .collect()
        };
        let control = Arc::new(Control::new(wakers()));
        let mailboxes = mailboxes(wakers());
        let counters: Arc<[_]> = (0..cores).map(|_| Arc::new(Counters::default())).collect();
        let shared = Shared {
            options: Arc::new(self.options.engine),
            inflate_budget: InflateBudget::new(self.options.inflate_budget_bytes),
            population: Arc::new(AtomicUsize::new(0)),
        };
        let service = Arc::new(self.service);
        let clock = Clock::start();
        let mut threads = Vec::with_capacity(cores);
        let places = polls.into_iter().zip(mailboxes).zip(self.listeners);
        for (id, (((poll, _), mailbox), listeners)) in (0..=u8::MAX).map(CoreId).zip(places) {
            let core = Core {
                id,
                counters: Arc::clone(&counters),
            };
            let (service, shared) = (Arc::clone(&service), shared.clone());
            let control = Arc::clone(&control);
            let options = ReactorOptions {
                spin_us: self.options.spin_us,
                shutdown_timeout_ms: self.options.shutdown_timeout_ms,
            };
            let thread = std::thread::Builder::new()
                .name(format!("core-{id}"))
                .spawn(move || {
                    let _others_stop = StopOnDrop(Arc::clone(&control));
                    let own = Arc::clone(&core.counters[id.index()]);
                    let factory = || service.handler(&core);
                    let shard = Shard::new(id, shared, own, listeners.len(), clock.now(), factory);
                    let rest = (clock, control, options);
                    Reactor::new(id, poll, shard, mailbox, listeners, rest)?.run()
                })
                .map_err(cannot("start a thread"))?;
            threads.push(thread);
        }
        Ok(RunningServer {
            threads,
            control,
            addresses: self.addresses,
            counters,
        })
    }
}

impl RunningServer {
    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What each core counts.
    #[must_use]
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// A handle that stops the server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.control))
    }

    /// Waits until the server has stopped. Returns how many connections had not ended within the
    /// shutdown timeout and were cut.
    ///
    /// # Errors
    ///
    /// [`ServerError::System`] if the event loop of a core has failed.
    pub fn join(self) -> Result<usize, ServerError> {
        let mut left = 0;
        for thread in self.threads {
            left += match thread.join() {
                Ok(result) => result.map_err(cannot("go on with an event loop"))?,
                Err(panic) => std::panic::resume_unwind(panic),
            };
        }
        if left > 0 {
            tracing::warn!(connections = left, "cut: they did not end in time");
        }
        Ok(left)
    }

    /// Stops the server at SIGTERM or SIGINT from now on. A second signal ends the process at once,
    /// with exit code 128 and the signal's number. Whoever announces that the server is ready does
    /// so after this call: a signal that comes before it ends the process by itself.
    ///
    /// # Errors
    ///
    /// [`ServerError::System`] if signals cannot be watched.
    pub fn watch_signals(&self) -> Result<(), ServerError> {
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(cannot("watch for signals"))?;
        let stopper = self.stopper();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for (count, signal) in signals.forever().enumerate() {
                    if count > 0 {
                        std::process::exit(128 + signal);
                    }
                    tracing::info!(signal, "stopping; once more ends at once");
                    stopper.stop();
                }
            })
            .map_err(cannot("start a thread"))?;
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT, then stops, as [`watch_signals`](Self::watch_signals) says.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn run_until_signal(self) -> Result<(), ServerError> {
        self.watch_signals()?;
        self.join().map(drop)
    }
}

/// Stops the other cores when one ends: a server that has lost a core would go on with a part of
/// its connections, and nobody would know.
struct StopOnDrop(Arc<Control>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Stopper {
    /// Tells the server to stop: WebSockets are closed with 1001, requests answered with 503.
    pub fn stop(&self) {
        self.0.stop();
    }
}
