//! `trainer adapt` and `trainer forward`, for tests of the programs that call them: the program `trainer` of another package
//! need not exist when this package is tested.

use std::process::ExitCode;

use clap::Parser;
use trainer::adapt::{self, AdaptArguments};
use trainer::forward::{self, ForwardArguments};

#[derive(Parser)]
enum Program {
    Adapt(AdaptArguments),
    Forward(ForwardArguments),
}

fn main() -> ExitCode {
    let ended = match Program::parse() {
        Program::Adapt(arguments) => adapt::run(arguments),
        Program::Forward(arguments) => forward::run(&arguments).map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
