//! The peer's permessage-deflate: zlib contexts as everybody uses them, one for each direction,
//! kept or reset after each message (RFC 7692, 7.2).

use corewire_protocol::deflate::{Agreement, Direction, Takeover};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

pub(crate) const ALONE: Direction = direction(Takeover::No, 15);
pub(crate) const TAKEOVER: Direction = direction(Takeover::Yes, 15);

pub(crate) const fn direction(takeover: Takeover, window_bits: u8) -> Direction {
    Direction {
        takeover,
        window_bits,
    }
}

/// The same in both directions.
pub(crate) const fn both_ways(direction: Direction) -> Option<Agreement> {
    Some(Agreement {
        inbound: direction,
        outbound: direction,
    })
}

pub(crate) struct Zlib {
    compress: Compress,
    decompress: Decompress,
    /// As the peer of this agreement's owner sees it: it sends what comes in there.
    agreement: Agreement,
}

impl Zlib {
    pub(crate) fn peer_of(agreement: Option<Agreement>) -> Self {
        let agreement = agreement.expect("compression was agreed upon");
        let (inbound, outbound) = (agreement.inbound, agreement.outbound);
        Self {
            compress: Compress::new_with_window_bits(
                Compression::default(),
                false,
                inbound.window_bits,
            ),
            // A window no larger than agreed: what refers further back does not inflate.
            decompress: Decompress::new_with_window_bits(false, outbound.window_bits),
            agreement,
        }
    }

    /// Compresses a message; several pieces become several blocks.
    pub(crate) fn deflate(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
        if self.agreement.inbound.takeover == Takeover::No {
            self.compress.reset();
        }
        let mut out = Vec::new();
        for piece in pieces {
            let (mut rest, mut flushed) = (*piece, false);
            while !flushed {
                out.reserve(piece.len() + 64);
                let before = self.compress.total_in();
                self.compress
                    .compress_vec(rest, &mut out, FlushCompress::Sync)
                    .unwrap();
                let taken = usize::try_from(self.compress.total_in() - before).unwrap();
                rest = &rest[taken..];
                flushed = rest.is_empty() && out.len() < out.capacity();
            }
        }
        if out.is_empty() {
            // Two flushes in a row are one; an empty message has an empty block (7.2.3.6).
            return vec![0x00];
        }
        out.truncate(out.len() - 4);
        out
    }

    /// Inflates the payload of a message.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.agreement.outbound.takeover == Takeover::No {
            self.decompress.reset(false);
        }
        let input = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
        let (mut rest, mut out) = (&input[..], Vec::new());
        loop {
            // Little by little: within one call zlib would take a distance beyond its window.
            let mut some = [0; 64];
            let before = (self.decompress.total_in(), self.decompress.total_out());
            let status = self
                .decompress
                .decompress(rest, &mut some, FlushDecompress::Sync)
                .expect("what we compress inflates");
            assert_ne!(status, Status::StreamEnd, "we send no final blocks");
            let taken = usize::try_from(self.decompress.total_in() - before.0).unwrap();
            let made = usize::try_from(self.decompress.total_out() - before.1).unwrap();
            rest = &rest[taken..];
            out.extend_from_slice(&some[..made]);
            if rest.is_empty() && made < some.len() {
                return out;
            }
        }
    }
}
