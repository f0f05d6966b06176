//! The `stateset-sequencer` binary: see the library.

/// Many small requests are many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    stateset_sequencer_app::run(std::env::args_os())
}
