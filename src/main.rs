//! The `corewire` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    corewire::cli::main()
}
