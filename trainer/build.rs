//! Compiles the fused operators of `csrc/`, the collectives of `c10d/` and the recordings of `cuda/`, records the commit that is being built, and tells the linker where
//! libtorch lies, so that the trainer's programs and tests start without `LD_LIBRARY_PATH`: the rpath that `torch-sys`
//! emits does not reach the packages that use it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Kernels that know nothing of libtorch, in the order in which the linker wants them.
const KERNELS: [&str; 10] = [
    "trainer_block_kernels",
    "trainer_kernels_avx512",
    "trainer_kernels_avx2",
    "trainer_kernels_baseline",
    "trainer_updates_avx512",
    "trainer_updates_avx2",
    "trainer_updates_baseline",
    "trainer_sites_avx512",
    "trainer_sites_avx2",
    "trainer_sites_baseline",
];

/// What is compiled against libtorch, in `csrc`, a library each; what others call comes last.
const SOURCES: [&str; 8] = [
    "operators",
    "attention_operator",
    "site_operators",
    "update_operators",
    "attention",
    "blocks",
    "memory",
    "dispatch",
];

/// The C interface of libtorch's c10d, and stand-ins for headers that its wheel lacks.
const C10D_FOLDERS: [&str; 5] =
    ["c10d", "c10d/gloo", "c10d/gloo/common", "c10d/gloo/rendezvous", "c10d/gloo/transport"];

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=csrc");
    println!("cargo:rerun-if-changed=c10d");
    println!("cargo:rerun-if-changed=cuda");
    println!("cargo:rerun-if-changed=build.rs");
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        panic!("LIBTORCH is not set: it names the folder of libtorch's `include` and `lib`; run `cargo xtask setup`")
    };
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    let x86_64 = std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64");

    // This script also runs after every commit: only what has changed is compiled. A file against libtorch takes most of
    // a minute.
    let is_operator = |file: &str| file.strip_suffix(".cpp").is_some_and(|name| SOURCES.contains(&name));
    when_changed(&out, "kernels", &digest(&libtorch, &["csrc"], |file| !is_operator(file)), || compile_kernels(x86_64));
    std::thread::scope(|threads| {
        for name in SOURCES {
            let (out, libtorch) = (&out, &libtorch);
            threads.spawn(move || {
                let own = format!("{name}.cpp");
                let digest = digest(libtorch, &["csrc"], |file| file == own || file.strip_suffix(".cpp").is_none());
                when_changed(out, name, &digest, || compile_operators(libtorch, name));
            });
        }
        threads.spawn(|| {
            let digest = digest(&libtorch, &C10D_FOLDERS, |_| true);
            when_changed(&out, "process_group", &digest, || compile_process_group(&libtorch));
        });
        if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
            threads.spawn(|| {
                let digest = digest(&libtorch, &["cuda"], |_| true);
                when_changed(&out, "cuda_step", &digest, || {
                    libtorch_cpp(&libtorch).file("cuda/step.cpp").compile("trainer_cuda_step");
                });
            });
        }
    });
    link(&libtorch, &out, x86_64);
    record_commit();
}

/// Calls `compile` where the last time was for another `digest`.
fn when_changed(out: &Path, name: &str, digest: &str, compile: impl FnOnce()) {
    let stamp = out.join(format!("{name}.compiled"));
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(digest) {
        compile();
        std::fs::write(&stamp, digest).unwrap_or_else(|error| panic!("cannot write {}: {error}", stamp.display()));
    }
}

/// Of the files of `folders` and of this script that `matters`, by name, and of how they are compiled.
fn digest(libtorch: &Path, folders: &[&str], matters: impl Fn(&str) -> bool) -> String {
    let entries = |folder: &&str| {
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        entries.unwrap_or_else(|error| panic!("cannot list trainer/{folder}: {error}"))
    };
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(entries)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .chain(["build.rs".into()])
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&matters))
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    libtorch.hash(&mut hasher);
    for variable in ["CXX", "CXXFLAGS", "TARGET", "CARGO_FEATURE_CUDA"] {
        std::env::var(variable).ok().hash(&mut hasher);
    }
    for file in &files {
        file.hash(&mut hasher);
        std::fs::read(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display())).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// One object per instruction set; the program chooses when it runs, so that it starts on every machine.
fn compile_kernels(x86_64: bool) {
    let avx512 =
        ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"].as_slice();
    let variants: &[(&str, &[&str])] = if x86_64 {
        &[("baseline", &[]), ("avx2", &["-mavx2", "-mfma"]), ("avx512", avx512)]
    } else {
        &[("baseline", &[])]
    };
    for (name, flags) in variants {
        let mut build = cpp();
        build.flag("-fopenmp-simd").define("KERNEL_VARIANT", format!("kernels_{name}").as_str());
        build.flags(*flags).file("csrc/kernels.cpp").compile(&format!("trainer_kernels_{name}"));
        let mut build = cpp();
        build.flag("-fopenmp-simd").define("UPDATE_VARIANT", format!("updates_{name}").as_str());
        build.flag("-ffp-contract=off").flags(*flags).file("csrc/updates.cpp");
        build.compile(&format!("trainer_updates_{name}"));
        let mut build = cpp();
        build.flag("-Wno-psabi").define("SITE_VARIANT", format!("sites_{name}").as_str());
        build.flags(*flags).file("csrc/site_kernels.cpp").compile(&format!("trainer_sites_{name}"));
    }
    if x86_64 {
        let mut build = cpp();
        let files =
            ["gemm", "mlp_kernels", "mixing_kernels", "attention_kernels"].map(|name| format!("csrc/{name}.cpp"));
        // GCC's own AVX-512 headers provoke it.
        build.flag("-Wno-uninitialized").flags(avx512).flag("-mavx512bf16").files(files);
        build.compile("trainer_block_kernels");
    }
}

fn compile_operators(libtorch: &Path, name: &str) {
    libtorch_cpp(libtorch).flag("-fopenmp").file(format!("csrc/{name}.cpp")).compile(&format!("trainer_{name}"));
}

fn compile_process_group(libtorch: &Path) {
    let mut build = libtorch_cpp(libtorch);
    build.include("c10d").define("USE_C10D_GLOO", None);
    // The compiler must not look through virtual functions at classes of gloo that it knows by name only.
    build.flag("-fno-devirtualize").flag("-fno-devirtualize-speculatively");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        build.define("USE_C10D_NCCL", None).define("TRAINER_NCCL", None);
    }
    build.file("c10d/process_group.cpp").compile("trainer_process_group");
}

/// For what includes libtorch's headers.
fn libtorch_cpp(libtorch: &Path) -> cc::Build {
    let mut build = cpp();
    for include in ["include", "include/torch/csrc/api/include"] {
        build.flag("-isystem").flag(libtorch.join(include));
    }
    build
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        // A third of libtorch's headers, and of the time to compile them.
        .define("AT_PER_OPERATOR_HEADERS", None);
    build
}

/// Optimised whatever the profile: these are the loops that training spends its time in.
fn cpp() -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cargo_metadata(false)
        .cpp(true)
        .std("c++20")
        .opt_level(3)
        .debug(false)
        .pic(true)
        .include("csrc")
        .flag("-fno-math-errno")
        .flag("-fno-trapping-math")
        .flag("-Wno-unused-parameter")
        // GCC's own AVX-512 headers provoke it.
        .flag("-Wno-maybe-uninitialized");
    build
}

fn link(libtorch: &Path, out: &Path, x86_64: bool) {
    println!("cargo:rustc-link-search=native={}", out.display());
    for library in SOURCES {
        println!("cargo:rustc-link-lib=static=trainer_{library}");
    }
    for library in KERNELS.iter().filter(|name| x86_64 || name.ends_with("baseline")) {
        println!("cargo:rustc-link-lib=static={library}");
    }
    println!("cargo:rustc-link-search=native={}", libtorch.join("lib").display());
    println!("cargo:rustc-link-lib=static=trainer_process_group");
    let mut libraries = vec!["torch_cpu", "c10", "gomp", "stdc++"];
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        println!("cargo:rustc-link-lib=static=trainer_cuda_step");
        libraries.splice(0..0, ["torch_cuda", "c10_cuda"]);
    }
    for library in libraries {
        println!("cargo:rustc-link-lib={library}");
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", libtorch.display());
}

fn record_commit() {
    println!("cargo:rerun-if-changed=../.git/HEAD");
    println!("cargo:rerun-if-changed=../.git/logs/HEAD");
    let commit = std::process::Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if let Ok(output) = commit
        && output.status.success()
    {
        println!("cargo:rustc-env=TRAINER_GIT_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
