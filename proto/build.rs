//! Compiles the .proto files with protox, so that no `protoc` is needed, and keeps their descriptors for reflection.
use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["shoal/v1/lanes.proto", "shoal/peer/v1/peer.proto"];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let client = protox::compile([files[0]], ["proto"])?;
    fs::write(out.join("lanes.descriptors"), client.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
