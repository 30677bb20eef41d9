//! A connection's bytes. Plaintext above, whatever the wire needs below.

use std::io::IoSlice;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, writev};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;

use crate::engine::{CloseHow, Outbound, ReadInto, ReadResult, SLICES_MAX, WriteResult};

/// How a connection's bytes travel.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are.
    Plain(TcpStream),
}

impl Transport {
    pub(super) fn read(&mut self, into: &mut ReadInto<'_>) -> ReadResult {
        let Self::Plain(stream) = self;
        loop {
            // Not the C library's, whose calls can be cancelled, which takes 30 ns to prepare for.
            let result = match into {
                ReadInto::Buffer(buffer) => {
                    recv(&*stream, &mut **buffer, RecvFlags::empty()).map(|(bytes, _)| bytes)
                }
                ReadInto::Spare(buffer) => {
                    recv(&*stream, spare_capacity(buffer), RecvFlags::empty())
                        .map(|(_, bytes)| bytes)
                }
            };
            match result {
                Ok(0) => return ReadResult::End,
                Ok(bytes) => return ReadResult::Bytes(bytes),
                Err(Errno::AGAIN) => return ReadResult::WouldBlock,
                Err(Errno::INTR) => {}
                Err(_) => return ReadResult::Broken,
            }
        }
    }

    pub(super) fn write(&mut self, output: &Outbound) -> WriteResult {
        let Self::Plain(stream) = self;
        if let Some(bytes) = output.in_one_place() {
            return written(bytes.len(), || send(&*stream, bytes, SendFlags::NOSIGNAL));
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = output.slices(&mut slices);
        let slices = &slices[..count];
        let offered = slices.iter().map(|slice| slice.len()).sum();
        written(offered, || match slices {
            [only] => send(&*stream, only, SendFlags::NOSIGNAL),
            several => writev(&*stream, several),
        })
    }

    /// Tells the peer that no more will come. If the connection is gone, the next read says so.
    pub(super) fn end_output(&self) {
        let Self::Plain(stream) = self;
        let _ = stream.shutdown(Shutdown::Write);
    }

    pub(super) fn close(self, how: CloseHow) {
        let Self::Plain(stream) = self;
        if how == CloseHow::Reset {
            // Lingering for no time resets the connection and frees what the kernel holds.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// What became of so many bytes, which `write` offers to the system until a signal does not
/// interrupt it.
fn written(offered: usize, mut write: impl FnMut() -> Result<usize, Errno>) -> WriteResult {
    loop {
        match write() {
            Ok(bytes) if bytes == offered => return WriteResult::All(bytes),
            Ok(bytes) => return WriteResult::Part(bytes),
            Err(Errno::AGAIN) => return WriteResult::WouldBlock,
            Err(Errno::INTR) => {}
            Err(_) => return WriteResult::Broken,
        }
    }
}
