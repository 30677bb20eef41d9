//! The listening sockets: one for each core and address, among which the kernel spreads
//! connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

use crate::engine::Accepted;

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            write!(
                f,
                "port {} is in use: another server, or another --listen of this one, has \
                 {address}; stop it, or choose another port with --listen {}",
                address.port(),
                SocketAddr::new(address.ip(), address.port().wrapping_add(1)),
            )
        } else if kind == io::ErrorKind::PermissionDenied {
            write!(
                f,
                "not allowed to listen on {address}: ports below 1024 need the capability \
                 CAP_NET_BIND_SERVICE; choose a higher port with --listen",
            )
        } else if kind == io::ErrorKind::AddrNotAvailable {
            write!(
                f,
                "cannot listen on {address}: this machine does not have the address {}; \
                 0.0.0.0 and [::] stand for all of IPv4 and IPv6 that it has",
                address.ip(),
            )
        } else {
            write!(f, "cannot listen on {address}: {source}")
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Binds one listener for each core to `address`. With port 0 the first one chooses the port for
/// all.
///
/// # Errors
///
/// [`BindError`], also if another server listens there and would share the port: a bind without
/// `SO_REUSEPORT` comes first and finds out.
pub(crate) fn bind_group(
    address: SocketAddr,
    cores: usize,
    backlog: u32,
) -> Result<Vec<Listener>, BindError> {
    let failed = |source| BindError { address, source };
    if address.port() != 0 {
        new_socket(address)
            .and_then(|probe| probe.bind(&address.into()))
            .map_err(failed)?;
    }
    let mut address = address;
    let mut group = Vec::with_capacity(cores);
    for _ in 0..cores {
        let listener = Listener::bind(address, backlog).map_err(failed)?;
        address = listener.address;
        group.push(listener);
    }
    Ok(group)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier server in TIME_WAIT do not hinder; one that listens does.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // [::] is every address of IPv6 only, whatever the system's default, so that it can
        // stand beside 0.0.0.0 on the same port.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Listener {
    fn bind(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        let socket = new_socket(address)?;
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit it, which spares a system call for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let socket = TcpListener::from_std(std::net::TcpListener::from(socket));
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    pub(super) fn accept(&self) -> Result<(TcpStream, SocketAddr), Accepted> {
        loop {
            let error = match self.socket.accept() {
                Ok(accepted) => return Ok(accepted),
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => return Err(Accepted::Drained),
                // The client has gone before it was its turn, or its network has: accept(2) asks
                // to treat what went wrong for one connection as a reason to try the next.
                Some(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NOPROTOOPT
                    | Errno::OPNOTSUPP
                    | Errno::PERM,
                ) => {}
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: better after a while.
                Some(_) | None => return Err(Accepted::Exhausted),
            }
        }
    }

    /// Lets no further connection begin, while those in the queue can still be accepted: a filter
    /// drops every packet to this socket. A client that tries finds out when the socket is
    /// closed, by a refusal and not by a reset.
    pub(super) fn admit_nobody(&self) {
        const RETURN_CONSTANT: u16 = 0x06; // BPF_RET | BPF_K: keep so many bytes of the packet
        let drop_all = SockFilter::new(RETURN_CONSTANT, 0, 0, 0);
        if let Err(error) = SockRef::from(&self.socket).attach_filter(&[drop_all]) {
            tracing::debug!(%error, "late connections may be reset: no filter on the listener");
        }
    }
}
