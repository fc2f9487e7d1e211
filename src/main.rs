//! The `sluice` program: reads the command line and does what it says; the exit code tells
//! how that went.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    sluice::cli::Arguments::parse().run()
}
