//! Records the commit that is being built, and tells the linker where libtorch lies, so that the trainer's programs and tests start without `LD_LIBRARY_PATH`:
//! the rpath that `torch-sys` emits does not reach the packages that use it.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    println!("cargo:rerun-if-changed=../.git/HEAD");
    println!("cargo:rerun-if-changed=../.git/logs/HEAD");
    let commit = std::process::Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if let Ok(output) = commit
        && output.status.success()
    {
        println!("cargo:rustc-env=TRAINER_GIT_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
