//! The `stateset-sync` program: see the library.

fn main() -> std::process::ExitCode {
    stateset_sync_app::run(std::env::args_os())
}
