//! The `statesetd` binary: see the library.

fn main() -> std::process::ExitCode {
    statesetd_app::run(std::env::args_os())
}
