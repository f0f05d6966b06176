//! The `stateset` binary: see the library.

/// Many small requests are many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    stateset::run(std::env::args_os())
}
