//! The `ves-stark` binary: see the library.

fn main() -> std::process::ExitCode {
    ves_stark_cli::run(std::env::args_os())
}
