//! Pieces of the hot path, for callgrind to count the instructions of: `make icount`.
//!
//! `icount` prints the names of all pieces. `icount NAME` runs one of them: it is made and run a
//! few times, so that buffers have grown and the processor's features are known, and then once more
//! inside [`measured`], which is what is counted. Each piece has a process of its own, since what
//! an allocator does depends on what it has done before.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed unwrap is a wrong answer, and the names are the output"
)]

mod codec;
mod engine;
mod mail;
mod stream;
mod topics;

use std::process::ExitCode;

/// Runs before the one that is counted.
const WARM_UP_RUNS: usize = 3;

/// Something that can be run again and again and costs the same each time. It checks its answer,
/// so that nothing gets cheaper by being wrong.
type Piece = Box<dyn FnMut()>;

/// A piece's name and how it is made.
type Entry = (&'static str, fn() -> Piece);

fn pieces() -> impl Iterator<Item = &'static Entry> {
    let groups = [
        stream::PIECES,
        codec::PIECES,
        engine::PIECES,
        mail::PIECES,
        topics::PIECES,
    ];
    groups.into_iter().flatten()
}

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        for (name, _) in pieces() {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, make)) = pieces().find(|(known, _)| *known == name) else {
        println!("there is no piece {name}: `icount` alone names them all");
        return ExitCode::FAILURE;
    };
    let mut piece = make();
    for _ in 0..WARM_UP_RUNS {
        piece();
    }
    measured(&mut piece);
    ExitCode::SUCCESS
}

/// What is counted. `run` knows it by its name.
#[inline(never)]
fn measured(piece: &mut Piece) {
    piece();
}
