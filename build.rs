//! Compiles `proto/` with protox, a compiler in pure Rust: no `protoc` is needed on the machine.

use std::path::PathBuf;

use prost::Message as _;

/// Every file of the contract; a new one is added here.
const FILES: &[&str] = &[
    "proto/sns/v1/sns.proto",
    "proto/sns/v1/router.proto",
    "proto/sns/auth/v1/auth.proto",
    "proto/sns/pair/v1/pair.proto",
    "proto/sns/log/v1/entry.proto",
    "proto/csce438/sns.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("sns.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(std::env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds(descriptors)?;
    Ok(())
}
