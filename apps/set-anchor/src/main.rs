//! The `set-anchor` binary: see the library.

fn main() -> std::process::ExitCode {
    set_anchor_app::run(std::env::args_os())
}
