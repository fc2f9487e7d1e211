//! The `sluice` program: reads the command line and does what it says; the exit code tells
//! how that went.

use std::process::ExitCode;

/// Thousands of tunnels come and go: freed memory must be used again, not scattered.
#[global_allocator]
static ALLOCATOR: sluice::system::allocator::Allocator = sluice::system::allocator::Allocator;

fn main() -> ExitCode {
    sluice::cli::main()
}
