//! Tells the linker where libtorch lies, so that the tests start without `LD_LIBRARY_PATH`: the rpath of `trainer`'s
//! own build script does not reach the packages that use it.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
