//! The `stateset-mcp` binary: see the library.

fn main() -> std::process::ExitCode {
    stateset_mcp_app::run(std::env::args_os())
}
