//! Compiles the protobuf files with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/rimward.proto");
    let descriptors = protox::compile(["proto/rimward.proto"], ["proto"])?;
    // Without the generated transport helpers an RPC could be named `Connect`; both sides bring their own TLS.
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
