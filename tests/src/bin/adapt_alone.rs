//! `trainer adapt` alone, for tests of a server that runs it: the program `trainer` of another package need not exist when
//! this package is tested.

use std::process::ExitCode;

use clap::Parser;
use trainer::adapt::{AdaptArguments, run};

#[derive(Parser)]
enum Program {
    Adapt(AdaptArguments),
}

fn main() -> ExitCode {
    let Program::Adapt(arguments) = Program::parse();
    run(arguments).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
