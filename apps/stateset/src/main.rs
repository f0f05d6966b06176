//! The `stateset` binary: see the library.

fn main() -> std::process::ExitCode {
    stateset::run(std::env::args_os())
}
