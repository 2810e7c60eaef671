//! libtorch with CUDA: the wheel that `recipe` takes the CPU half of, whole, with the CUDA libraries that it needs and the
//! headers of NCCL, all of them in one folder. What is pinned is what pip resolves `torch` to.

use anyhow::{Result, bail};

use crate::recipe::{CUDA_CUPTI, CUDA_RUNTIME, LIBTORCH_VERSION, Pick, Platform, Recipe, TORCH_LINUX_X86_64, Wheel};

/// Where libtorch with CUDA 13 comes from. The driver is the machine's.
pub(crate) fn libtorch_cuda(platform: Platform) -> Result<Recipe> {
    if platform != Platform::LinuxX86_64 {
        bail!(
            "libtorch with CUDA is fetched for Linux x86_64 only: install PyTorch {LIBTORCH_VERSION} yourself and set \
             LIBTORCH to its `torch` folder"
        );
    }
    Ok(Recipe {
        name: "libtorch with CUDA",
        version: LIBTORCH_VERSION,
        folder: "libtorch-cuda",
        unpacked_bytes: 4_200 << 20,
        parts: LIBTORCH_CUDA_LINUX_X86_64,
        // For the linker: torch-sys asks for it.
        links: &[("lib/libgomp.so", "libgomp.so.1")],
        texts: &[("build-version", LIBTORCH_VERSION)],
        instead: "set LIBTORCH to a library that is already on this machine",
    })
}

const LIBTORCH_CUDA_LINUX_X86_64: &[(Wheel, &[Pick])] = &[
    (
        TORCH_LINUX_X86_64,
        &[
            Pick::Folder { from: "torch/include/", to: "include" },
            Pick::File { from: "torch/lib/libtorch.so", to: "lib/libtorch.so" },
            Pick::File { from: "torch/lib/libtorch_cpu.so", to: "lib/libtorch_cpu.so" },
            Pick::File { from: "torch/lib/libtorch_cuda.so", to: "lib/libtorch_cuda.so" },
            Pick::File { from: "torch/lib/libtorch_cuda_linalg.so", to: "lib/libtorch_cuda_linalg.so" },
            Pick::File { from: "torch/lib/libtorch_nvshmem.so", to: "lib/libtorch_nvshmem.so" },
            Pick::File { from: "torch/lib/libcaffe2_nvrtc.so", to: "lib/libcaffe2_nvrtc.so" },
            Pick::File { from: "torch/lib/libc10.so", to: "lib/libc10.so" },
            Pick::File { from: "torch/lib/libc10_cuda.so", to: "lib/libc10_cuda.so" },
            Pick::File { from: "torch/lib/libgomp.so.1", to: "lib/libgomp.so.1" },
            Pick::Folder { from: "torch-2.13.0.dist-info/licenses/", to: "licenses/torch" },
        ],
    ),
    (
        CUDA_RUNTIME,
        &[
            Pick::File { from: "nvidia/cu13/lib/libcudart.so.13", to: "lib/libcudart.so.13" },
            Pick::Folder { from: "nvidia/cu13/include/", to: "include" },
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
    (
        Wheel {
            project: "nvidia-cuda-nvrtc",
            version: "13.0.88",
            platform_tag: "manylinux2010_x86_64",
            file_name: "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            bytes: 90_215_200,
            sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libnvrtc.so.13", to: "lib/libnvrtc.so.13" },
            Pick::File { from: "nvidia/cu13/lib/libnvrtc-builtins.so.13.0", to: "lib/libnvrtc-builtins.so.13.0" },
            Pick::Folder { from: "nvidia_cuda_nvrtc-13.0.88.dist-info/licenses/", to: "licenses/cuda-nvrtc" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cublas",
            version: "13.1.1.3",
            platform_tag: "manylinux_2_27_x86_64",
            file_name: "nvidia_cublas-13.1.1.3-py3-none-manylinux_2_27_x86_64.whl",
            bytes: 423_138_758,
            sha256: "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libcublas.so.13", to: "lib/libcublas.so.13" },
            Pick::File { from: "nvidia/cu13/lib/libcublasLt.so.13", to: "lib/libcublasLt.so.13" },
            Pick::Folder { from: "nvidia/cu13/include/", to: "include" },
            Pick::Folder { from: "nvidia_cublas-13.1.1.3.dist-info/licenses/", to: "licenses/cublas" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cusparse",
            version: "12.6.3.3",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            bytes: 145_942_937,
            sha256: "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libcusparse.so.12", to: "lib/libcusparse.so.12" },
            Pick::Folder { from: "nvidia/cu13/include/", to: "include" },
            Pick::Folder { from: "nvidia_cusparse-12.6.3.3.dist-info/licenses/", to: "licenses/cusparse" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cusolver",
            version: "12.0.4.66",
            platform_tag: "manylinux_2_27_x86_64",
            file_name: "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl",
            bytes: 200_941_980,
            sha256: "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libcusolver.so.12", to: "lib/libcusolver.so.12" },
            Pick::Folder { from: "nvidia/cu13/include/", to: "include" },
            Pick::Folder { from: "nvidia_cusolver-12.0.4.66.dist-info/licenses/", to: "licenses/cusolver" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cufft",
            version: "12.0.0.61",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            bytes: 214_085_489,
            sha256: "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libcufft.so.12", to: "lib/libcufft.so.12" },
            Pick::Folder { from: "nvidia_cufft-12.0.0.61.dist-info/licenses/", to: "licenses/cufft" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-curand",
            version: "10.4.0.35",
            platform_tag: "manylinux_2_27_x86_64",
            file_name: "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
            bytes: 59_544_258,
            sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libcurand.so.10", to: "lib/libcurand.so.10" },
            Pick::Folder { from: "nvidia_curand-10.4.0.35.dist-info/licenses/", to: "licenses/curand" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cufile",
            version: "1.15.1.6",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            bytes: 1_223_672,
            sha256: "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libcufile.so.0", to: "lib/libcufile.so.0" },
            Pick::Folder { from: "nvidia_cufile-1.15.1.6.dist-info/licenses/", to: "licenses/cufile" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-nvtx",
            version: "13.0.85",
            platform_tag: "manylinux1_x86_64",
            file_name: "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
            bytes: 148_047,
            sha256: "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libnvtx3interop.so.1", to: "lib/libnvtx3interop.so.1" },
            Pick::Folder { from: "nvidia_nvtx-13.0.85.dist-info/licenses/", to: "licenses/nvtx" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-nvjitlink",
            version: "13.5.37",
            platform_tag: "manylinux2010_x86_64",
            file_name: "nvidia_nvjitlink-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            bytes: 46_642_491,
            sha256: "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb",
        },
        &[
            Pick::File { from: "nvidia/cu13/lib/libnvJitLink.so.13", to: "lib/libnvJitLink.so.13" },
            Pick::Folder { from: "nvidia_nvjitlink-13.5.37.dist-info/licenses/", to: "licenses/nvjitlink" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cuda-crt",
            version: "13.0.88",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            bytes: 134_086,
            sha256: "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4",
        },
        &[
            Pick::Folder { from: "nvidia/cu13/include/", to: "include" },
            Pick::Folder { from: "nvidia_cuda_crt-13.0.88.dist-info/licenses/", to: "licenses/cuda-crt" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cuda-cccl",
            version: "13.0.85",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_cuda_cccl-13.0.85-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            bytes: 3_120_526,
            sha256: "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649",
        },
        &[
            Pick::Folder { from: "nvidia/cu13/include/", to: "include" },
            Pick::Folder { from: "nvidia_cuda_cccl-13.0.85.dist-info/licenses/", to: "licenses/cuda-cccl" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cudnn-cu13",
            version: "9.20.0.48",
            platform_tag: "manylinux_2_27_x86_64",
            file_name: "nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl",
            bytes: 366_173_588,
            sha256: "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304",
        },
        &[
            Pick::Folder { from: "nvidia/cudnn/lib/", to: "lib" },
            Pick::Folder { from: "nvidia_cudnn_cu13-9.20.0.48.dist-info/licenses/", to: "licenses/cudnn-cu13" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-cusparselt-cu13",
            version: "0.8.1",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl",
            bytes: 170_148_586,
            sha256: "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0",
        },
        &[
            Pick::File { from: "nvidia/cusparselt/lib/libcusparseLt.so.0", to: "lib/libcusparseLt.so.0" },
            Pick::File { from: "nvidia/cusparselt/LICENSE.txt", to: "licenses/cusparselt-cu13/LICENSE.txt" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-nccl-cu13",
            version: "2.29.7",
            platform_tag: "manylinux_2_18_x86_64",
            file_name: "nvidia_nccl_cu13-2.29.7-py3-none-manylinux_2_18_x86_64.whl",
            bytes: 205_976_000,
            sha256: "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d",
        },
        &[
            Pick::File { from: "nvidia/nccl/lib/libnccl.so.2", to: "lib/libnccl.so.2" },
            Pick::File { from: "nvidia/nccl/include/nccl.h", to: "include/nccl.h" },
            Pick::Folder { from: "nvidia_nccl_cu13-2.29.7.dist-info/licenses/", to: "licenses/nccl-cu13" },
        ],
    ),
    (
        Wheel {
            project: "nvidia-nvshmem-cu13",
            version: "3.4.5",
            platform_tag: "manylinux2014_x86_64",
            file_name: "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            bytes: 60_412_546,
            sha256: "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
        },
        &[
            Pick::File { from: "nvidia/nvshmem/lib/libnvshmem_host.so.3", to: "lib/libnvshmem_host.so.3" },
            Pick::Folder { from: "nvidia_nvshmem_cu13-3.4.5.dist-info/licenses/", to: "licenses/nvshmem-cu13" },
        ],
    ),
];
