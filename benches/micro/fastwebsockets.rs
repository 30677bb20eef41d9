//! fastwebsockets over an in-memory stream, polled by hand: no runtime is measured.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::fastwebsockets::{FragmentCollector, Role, WebSocket};
use corewire_testkit::receiver::Received;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server's end, with the collector that makes whole messages of fragments.
pub(crate) struct FastReceiver {
    websocket: FragmentCollector<Fed>,
    fed: Rc<RefCell<Unread>>,
}

/// What the socket has.
#[derive(Default)]
struct Unread {
    bytes: Vec<u8>,
    taken: usize,
}

impl FastReceiver {
    pub(crate) fn new() -> Self {
        let fed = Rc::<RefCell<Unread>>::default();
        let stream = Fed(Rc::clone(&fed));
        let mut websocket = WebSocket::after_handshake(stream, Role::Server);
        websocket.set_auto_close(false);
        Self {
            websocket: FragmentCollector::new(websocket),
            fed,
        }
    }

    /// Receives all of `stream`; one more read finds nothing.
    pub(crate) fn receive(&mut self, stream: &[u8]) -> Received {
        let mut fed = self.fed.borrow_mut();
        fed.bytes.clear();
        fed.bytes.extend_from_slice(stream);
        fed.taken = 0;
        drop(fed);
        let mut received = Received::default();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match pin!(self.websocket.read_frame()).poll(&mut context) {
                Poll::Ready(frame) => received.add(&frame.unwrap().payload),
                Poll::Pending => return received,
            }
        }
    }
}

/// The socket.
struct Fed(Rc<RefCell<Unread>>);

impl AsyncRead for Fed {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut unread = self.0.borrow_mut();
        let left = &unread.bytes[unread.taken..];
        if left.is_empty() {
            return Poll::Pending;
        }
        let bytes = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..bytes]);
        unread.taken += bytes;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Fed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
