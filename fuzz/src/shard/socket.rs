//! One connection's socket, as a kernel plays it: readiness is told once.

use std::io::IoSlice;

use corewire::ConnId;
use corewire::engine::{NearEnd, ReadInto, ReadResult, WriteResult};

use super::EchoShard;
use super::application::is_held;
use super::client::Client;

/// One connection's socket, as a kernel plays it: readiness is told once.
pub(super) struct Socket {
    pub(super) id: ConnId,
    pub(super) client: Client,
    /// Bytes that the server can read.
    inbox: Vec<u8>,
    inbound: Inbound,
    /// Bytes that the peer still has room for.
    pub(super) window: usize,
    outbound: Outward,
    /// Whether the shard was told of all there is to read.
    pub(super) told: Told,
    owed: Owed,
    /// The most that one read brings.
    pub(super) read_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Inbound {
    Open,
    Ended,
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outward {
    Flowing,
    /// The last write was not taken whole.
    Blocked,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Told {
    No,
    Yes,
}

/// What the shard owes to a socket of which it was told that it takes output again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Owed {
    Nothing,
    Write,
}

impl Socket {
    pub(super) fn new(id: ConnId, message_bytes: usize) -> Self {
        Self {
            id,
            client: Client::new(message_bytes),
            inbox: Vec::new(),
            inbound: Inbound::Open,
            window: 3000,
            outbound: Outward::Flowing,
            // A new socket is tried without being told.
            told: Told::Yes,
            owed: Owed::Nothing,
            read_bytes: usize::MAX,
        }
    }

    pub(super) fn arrives(&mut self, bytes: &[u8]) {
        if self.inbound == Inbound::Open && !bytes.is_empty() {
            self.inbox.extend_from_slice(bytes);
            self.told = Told::No;
        }
    }

    pub(super) fn ends(&mut self, how: Inbound) {
        if self.inbound == Inbound::Open || how == Inbound::Broken {
            self.inbound = how;
            self.told = Told::No;
        }
        if how == Inbound::Broken {
            self.inbox.clear();
        }
    }

    /// Tells the shard what it was not told.
    pub(super) fn tell(&mut self, shard: &mut EchoShard) {
        let takes = self.window > 0 || self.inbound == Inbound::Broken;
        if self.outbound == Outward::Blocked && takes {
            self.outbound = Outward::Flowing;
            self.owed = Owed::Write;
            shard.writable(self.id);
        }
        if self.told == Told::No {
            self.told = Told::Yes;
            let near_end = match self.inbound {
                Inbound::Open => NearEnd::No,
                Inbound::Ended | Inbound::Broken => NearEnd::Yes,
            };
            shard.readable(self.id, near_end);
        }
    }

    /// The server ends its output.
    pub(super) fn server_ends(&mut self) {
        assert_ne!(self.outbound, Outward::Ended, "it has ended before");
        self.outbound = Outward::Ended;
    }

    pub(super) fn read(&mut self, into: ReadInto<'_>) -> ReadResult {
        if self.inbound == Inbound::Broken {
            return ReadResult::Broken;
        }
        if self.inbox.is_empty() {
            return match self.inbound {
                Inbound::Ended => ReadResult::End,
                Inbound::Open | Inbound::Broken => ReadResult::WouldBlock,
            };
        }
        let room = match &into {
            ReadInto::Buffer(buffer) => buffer.len(),
            ReadInto::Spare(buffer) => buffer.capacity() - buffer.len(),
        };
        assert!(room > 0, "a read into nothing");
        let mut bytes = room.min(self.inbox.len());
        if self.inbound == Inbound::Open && bytes > self.read_bytes {
            // The rest arrives a little later, and is announced then.
            bytes = self.read_bytes;
            self.told = Told::No;
        }
        let now: Vec<u8> = self.inbox.drain(..bytes).collect();
        match into {
            ReadInto::Buffer(buffer) => buffer[..bytes].copy_from_slice(&now),
            ReadInto::Spare(buffer) => {
                let before = buffer.capacity();
                buffer.extend_from_slice(&now);
                assert_eq!(buffer.capacity(), before);
            }
        }
        ReadResult::Bytes(bytes)
    }

    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> WriteResult {
        // What is blocked may be asked again, in case that the kernel has told nothing.
        assert_ne!(self.outbound, Outward::Ended, "a write to what has ended");
        self.owed = Owed::Nothing;
        if self.inbound == Inbound::Broken {
            return WriteResult::Broken;
        }
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        assert!(!all.is_empty(), "a write of nothing");
        let bytes = all.len().min(self.window);
        self.client.hears(&all[..bytes]);
        self.window -= bytes;
        if bytes == all.len() {
            self.outbound = Outward::Flowing;
            return WriteResult::All(bytes);
        }
        self.outbound = Outward::Blocked;
        match bytes {
            0 => WriteResult::WouldBlock,
            _ => WriteResult::Part(bytes),
        }
    }

    /// Whether there is something to do for the server that it should not wait with. What is
    /// blocked is up to the peer, what is held to the application; what was not told is not known.
    pub(super) fn is_neglected(&self) -> bool {
        let input = !is_held(self.id) && (!self.inbox.is_empty() || self.inbound != Inbound::Open);
        let flows = self.outbound == Outward::Flowing;
        self.told == Told::Yes && input && flows || self.owed == Owed::Write
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            id,
            window,
            told,
            owed,
            ..
        } = self;
        let (inbox, client) = (self.inbox.len(), &self.client);
        write!(f, "{id}: {inbox} bytes {:?}, told {told:?}; ", self.inbound)?;
        write!(
            f,
            "room for {window}, {:?}, owed {owed:?}; {client:?}",
            self.outbound
        )
    }
}
