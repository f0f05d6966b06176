//! The `stateset-sequencer-admin` binary: see the library.

/// The same allocator as the service's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    stateset_sequencer_admin::run(std::env::args_os())
}
