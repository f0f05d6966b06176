//! Writes the Rust code of `protocol/wire/proto` into a folder: messages, services, and the descriptor set that the
//! reflection service answers from. Run from the root of the workspace by `cargo xtask proto`, which puts each file
//! in its place.

use std::error::Error;
use std::path::Path;

use prost::Message as _;

/// Where imports are looked up, and the files themselves.
const INCLUDE: &str = "protocol/wire/proto";
const PROTOS: [&str; 2] = ["stateset/sequencer/v1/sequencer.proto", "stateset/sequencer/v2/sequencer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args_os().nth(1).ok_or("usage: xtask-proto FOLDER")?;
    let out = Path::new(&out);
    let mut compiler = protox::Compiler::new([INCLUDE])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    let described = compiler.file_descriptor_set();

    let messages = out.join("messages");
    std::fs::create_dir_all(&messages)?;
    let mut config = prost_build::Config::new();
    config.out_dir(&messages).disable_comments(["."]);
    config.compile_fds(described.clone())?;

    let services = out.join("services");
    std::fs::create_dir_all(&services)?;
    // Messages are those of the wire crate; what is left to write are the services.
    tonic_build::configure()
        .build_client(false)
        .build_transport(false)
        .disable_comments(".")
        .extern_path(".stateset.sequencer.v1", "::ves_wire::proto::v1")
        .extern_path(".stateset.sequencer.v2", "::ves_wire::proto::v2")
        .out_dir(&services)
        .compile_fds(described)?;

    // Readers of the descriptor need names and numbers, not our comments.
    let mut bare = protox::Compiler::new([INCLUDE])?;
    bare.include_imports(true).include_source_info(false).open_files(PROTOS)?;
    std::fs::write(out.join("descriptors.bin"), bare.file_descriptor_set().encode_to_vec())?;
    Ok(())
}
