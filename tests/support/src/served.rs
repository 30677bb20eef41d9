//! A server in this process.

use std::net::SocketAddr;

use corewire::engine::Service;
use corewire::server::{Options, RunningServer, Stopper};
use corewire::{CoreId, Server};

/// A server with any application and any options. It is told to stop when this is dropped.
#[derive(Debug)]
pub struct Served {
    running: Option<RunningServer>,
    stopper: Stopper,
    address: SocketAddr,
}

/// Default options, but for one core and a port that the system chooses.
#[must_use]
pub fn options() -> Options {
    Options {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        cores: Some(1),
        ..Options::default()
    }
}

impl Served {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start<S: Service>(service: S, options: Options) -> Self {
        let bound = Server::with_options(service, options).bind().unwrap();
        let address = bound.addresses()[0];
        let running = bound.start().unwrap();
        Self {
            stopper: running.stopper(),
            running: Some(running),
            address,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A counter by its name, of all cores together.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let cores = 0..u8::try_from(self.running().counters().len()).unwrap();
        cores.map(|core| self.count_on(CoreId(core), name)).sum()
    }

    /// A counter of one core by its name.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn count_on(&self, core: CoreId, name: &str) -> u64 {
        let mut all = self.running().counters()[core.index()].all();
        all.find(|(known, _)| *known == name).unwrap().1
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.count("accepted") - self.count("ended")
    }

    /// Tells the server to stop.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until it has stopped, and returns how many connections were cut.
    ///
    /// # Panics
    ///
    /// If an event loop has failed.
    pub fn join(mut self) -> usize {
        let running = self.running.take().expect("joined once");
        running.join().unwrap()
    }

    fn running(&self) -> &RunningServer {
        self.running.as_ref().expect("not joined yet")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}
