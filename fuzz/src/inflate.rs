//! Compressed messages of a peer that means us no good.

use std::sync::Arc;

use corewire_protocol::Error;
use corewire_protocol::deflate::{
    Codec, Direction, InflateBounds, InflateBudget, SCRATCH_BYTES, Takeover, Window,
};
use flate2::{Decompress, FlushDecompress, Status};

use crate::heap;
use crate::input::{Input, pieces};
use crate::wire::{Deflater, TAIL};

/// What inflating may take besides the message: two codecs with their inflaters.
const HEAP_BYTES: usize = 1 << 20;

/// Too little for two codecs, an inflater and a large message.
const TIGHT_BUDGET_BYTES: usize = 200 << 10;

/// Corrupted streams and bombs keep to the bounds, get the same verdict however they are cut,
/// and what is taken is what zlib reads. Whatever happens, the budget of the process is given
/// back.
pub fn inflate(data: &[u8]) {
    let mut input = Input::new(data);
    let bounds = InflateBounds {
        message_bytes: input.one_of(&[0, 1, 100, 5000, 40_000, 200_000]),
        ratio: input.one_of(&[1, 5, 100, u32::MAX]),
        ratio_floor_bytes: input.one_of(&[0, 100, 3000, 1 << 16]),
    };
    let direction = Direction {
        takeover: input.one_of(&[Takeover::No, Takeover::Yes]),
        window_bits: input.one_of(&[9, 10, 12, 15]),
    };
    let budget_bytes = input.one_of(&[1 << 24, TIGHT_BUDGET_BYTES]);
    let cuts = input.cuts();
    let mut streams = Streams::new(direction);
    let mut payloads = Vec::new();
    while !input.is_empty() && payloads.len() < 8 {
        payloads.push(streams.next(&mut input));
    }
    let budget = InflateBudget::new(budget_bytes);
    let mut ends = [End::new(direction, &budget), End::new(direction, &budget)];
    for payload in &payloads {
        let [whole, cut] = &mut ends;
        let before = whole.history();
        let allowed = HEAP_BYTES + 8 * bounds.message_bytes + 4 * payload.len();
        let (first, second) = heap::at_most(allowed, || {
            (
                whole.at_once(payload, bounds),
                cut.in_pieces(payload, &cuts, bounds),
            )
        });
        let tight = [&first, &second]
            .iter()
            .any(|end| **end == Err(Error::InflateBudget));
        if tight {
            assert_eq!(budget_bytes, TIGHT_BUDGET_BYTES, "there was budget enough");
            break;
        }
        assert!(
            first == second,
            "{:?}, but in pieces {:?}",
            brief(&first),
            brief(&second)
        );
        let Ok(message) = first else {
            break; // The connection has failed.
        };
        assert!(message.len() <= bounds.message_bytes);
        if let Some(expected) = zlib(&before, payload) {
            assert!(message == expected, "zlib reads something else");
        }
        assert_eq!(whole.history(), cut.history());
    }
    assert_eq!(budget.held(), 2 * SCRATCH_BYTES);
    drop(ends);
    assert_eq!(budget.held(), 0);
}

fn brief(end: &Result<Vec<u8>, Error>) -> Result<usize, Error> {
    end.as_ref().map(Vec::len).map_err(|&error| error)
}

/// One receiver of the messages.
struct End {
    codec: Codec,
    history: Option<Window>,
}

impl End {
    fn new(direction: Direction, budget: &Arc<InflateBudget>) -> Self {
        Self {
            codec: Codec::new(1, Arc::clone(budget)),
            history: Window::inbound(direction),
        }
    }

    fn history(&self) -> Vec<u8> {
        self.history
            .as_ref()
            .map_or(Vec::new(), |window| window.parts().concat())
    }

    fn at_once(&mut self, payload: &[u8], bounds: InflateBounds) -> Result<Vec<u8>, Error> {
        let mut out = b"before".to_vec();
        let result = self
            .codec
            .inflate(self.history.as_mut(), payload, bounds, &mut out);
        assert!(out.capacity() <= 6 + bounds.message_bytes + (8 << 10));
        let message = out.split_off(6);
        match result {
            Ok(inflated) => {
                assert_eq!(inflated.bytes, message.len());
                Ok(message)
            }
            Err(error) => {
                assert!(message.is_empty(), "what was produced stays");
                Err(error)
            }
        }
    }

    fn in_pieces(
        &mut self,
        payload: &[u8],
        cuts: &[usize],
        bounds: InflateBounds,
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let mut inflation = self.codec.begin(bounds)?;
        for piece in pieces(payload, cuts) {
            let before = out.len();
            match inflation.push(self.history.as_ref(), piece, &mut out) {
                Ok(bytes) => assert_eq!(bytes, out.len() - before),
                Err(error) => {
                    assert_eq!(inflation.push(None, b"", &mut out), Err(error), "sticky");
                    assert!(out.len() <= bounds.message_bytes + 1);
                    self.codec.discard(inflation);
                    return Err(error);
                }
            }
            assert_eq!(inflation.bytes(), out.len());
            assert!(out.len() <= bounds.message_bytes);
        }
        let inflated = self.codec.finish(inflation, self.history.as_mut(), &out)?;
        assert_eq!(inflated.bytes, out.len());
        assert!(inflated.reservation.bytes() >= out.len());
        Ok(out)
    }
}

/// What zlib makes of a message, if it is one ordinary stream.
fn zlib(history: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut context = Decompress::new_with_window_bits(false, 15);
    if !history.is_empty() {
        context.set_dictionary(history).ok()?;
    }
    let input = [payload, &TAIL].concat();
    let mut out = Vec::new();
    loop {
        out.reserve(1 << 16);
        let taken = usize::try_from(context.total_in()).ok()?;
        let status = context.decompress_vec(&input[taken..], &mut out, FlushDecompress::Sync);
        match status {
            Ok(Status::Ok | Status::BufError) if out.len() < out.capacity() => break,
            Ok(Status::Ok | Status::BufError) => {}
            Ok(Status::StreamEnd) | Err(_) => return None,
        }
    }
    Some(out)
}

/// Where payloads come from.
struct Streams {
    direction: Direction,
    deflater: Option<Deflater>,
}

impl Streams {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            deflater: None,
        }
    }

    fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        self.deflater
            .get_or_insert_with(|| Deflater::new(self.direction, 6))
            .deflate(message)
    }

    fn next(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        match input.below(6) {
            0 => input.bytes().to_vec(),
            1 => bomb(usize::from(input.word())),
            2 => {
                // Final blocks, and what stands behind them (RFC 7692, 7.2.3.4).
                let end = input.one_of(&[&[0x03, 0x00][..], &[0x01, 0, 0, 0xff, 0xff]]);
                let mut payload = end.repeat(input.below(64));
                payload.extend(self.deflate(&input.payload()));
                payload
            }
            3 => {
                let mut payload = self.deflate(&input.payload());
                for _ in 0..1 + input.below(4) {
                    let at = usize::from(input.word());
                    let byte = input.byte();
                    if let Some(place) = payload.len().checked_sub(1) {
                        payload[at.min(place)] ^= byte;
                    }
                }
                payload
            }
            4 => {
                let mut payload = self.deflate(&input.payload());
                payload.truncate(usize::from(input.word()));
                payload
            }
            _ => self.deflate(&input.payload()),
        }
    }
}

/// A message of zeros, about a thousand times as long as its payload of up to `len` bytes.
fn bomb(len: usize) -> Vec<u8> {
    let direction = Direction {
        takeover: Takeover::No,
        window_bits: 15,
    };
    Deflater::new(direction, 1).deflate(&vec![0; len * 4])
}
