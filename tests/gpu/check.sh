#!/usr/bin/env bash
# What needs a GPU to be measured, in under ten minutes on one, without a network: golden data of the reference on the GPU,
# training steps of the four configurations beside libtorch's plain operations, a run on the GPU against the same run on the
# processor, peak memory, ranks on all GPUs over NCCL, and an engine run. Prints its findings; they belong into
# docs/performance.md. Build first; the folder `target/release` may be carried to a machine without a toolchain:
#
#   cargo xtask setup --torch-cuda --onnxruntime-gpu
#   export LIBTORCH=$PWD/.native/libtorch-cuda
#   cargo build --release -p trainer -p evaluation --features trainer/cuda,evaluation/cuda
#   cargo test --release -p trainer --features cuda --test forward_parity --test training_parity --no-run
#   tests/gpu/check.sh [--cpu] [BUILD]     # BUILD: target/release without
#
# `--cpu` is a rehearsal where there is no GPU: the same stages on the processor, smaller.
set -euo pipefail
device=cuda
if [ "${1:-}" = --cpu ]; then device=cpu; shift; fi
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
build=$(realpath "${1:-$root/target/release}")
trainer=$build/trainer
folder=$(mktemp -d)
watcher=
trap '[ -z "$watcher" ] || kill "$watcher" 2> /dev/null; rm -rf "$folder"' EXIT
# Programs that were built elsewhere look for their libraries there.
native=$root/.native
libtorch=$native/libtorch-cuda/lib
[ $device = cuda ] || libtorch=$native/libtorch/lib
export LD_LIBRARY_PATH=$libtorch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
cd "$folder"
stage() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

if [ $device = cuda ]; then
    command -v nvidia-smi > /dev/null || { echo "nvidia-smi is not there: this machine has no NVIDIA driver; --cpu rehearses" >&2; exit 1; }
    gpus=$(nvidia-smi --list-gpus | wc -l) ranks=$gpus
    steps=5 configurations=small,sudoku-mlp,sudoku-attention,maze-attention rows=() puzzles=200
    large="--config maze-attention --batch-size 96"
    engine=(--cuda-device 0)
    export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$native/onnxruntime-gpu/lib/libonnxruntime.so}
    stage "machine"
    nvidia-smi --query-gpu=index,name,driver_version,memory.total --format=csv
else
    ranks=2 steps=1 configurations=sudoku rows=(--batch-size 4) puzzles=8
    large="--config maze --batch-size 8"
    engine=(--threads 1)
    export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$native/onnxruntime/lib/libonnxruntime.so} OMP_NUM_THREADS=1
    stage "rehearsal on the processor: figures mean nothing"
fi

stage "golden data of the reference"
# The newest program of each test.
test_program() { find -H "$build/deps" -maxdepth 1 -type f -executable -name "$1-*" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2; }
for test in forward_parity training_parity; do
    program=$(test_program $test)
    [ -n "$program" ] || { echo "$build/deps has no $test; build it as the head of this script says" >&2; exit 1; }
    CARGO_MANIFEST_DIR=$root/trainer TRAINER_TEST_DEVICE=$device "$program" --test-threads 1 > "$test.log" || { cat "$test.log"; exit 1; }
    grep '^test result' "$test.log" | sed "s/^/$test on $device: /"
done

stage "training steps, TF32 off: our operations (fused ones exist for processors alone), then libtorch's"
"$trainer" bench --device $device --config $configurations "${rows[@]}" --steps $steps --seconds 0.1
TRAINER_PLAIN=1 "$trainer" bench --device $device --config $configurations "${rows[@]}" --steps $steps --seconds 0.1

stage "a run on $device against the same run on the processor, float32"
settings="generator.size=4 arch.mlp_t=True arch.pos_encodings=none arch.puzzle_emb_ndim=0 arch.hidden_size=64 arch.num_heads=2
    arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.halt_max_steps=4 arch.forward_dtype=float32 global_batch_size=32
    max_steps=50 log_interval=10 eval_count=64 lr=1e-3 lr_warmup_steps=5 optimizer=adamw"
run() { # folder, device
    # shellcheck disable=SC2086 # Settings are words.
    "$trainer" pretrain $settings device="$2" checkpoint_path="$1" > "$1.log"
}
run processor cpu
run here $device
paste -d, processor/metrics.csv here/metrics.csv | awk -F, '
    $3 == "lm_loss" {
        difference = $8 - $4; if (difference < 0) difference = -difference
        printf "step %d %s: %.6f on the processor, %.6f here\n", $1, $2, $4, $8
        if (difference > 0.001 * $4) worst = 1
        compared++
    }
    END { if (!compared) { print "no losses were logged"; exit 1 } if (worst) { print "losses differ by more than 0.1 %"; exit 1 } }'

stage "peak memory of mazes with 900 cells ($large): the whole batch, then a row at a time"
for micro in "" "--micro-batch-size 1"; do
    if [ $device = cuda ]; then
        nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --id=0 --loop-ms=200 > memory.txt &
        watcher=$!
    fi
    # shellcheck disable=SC2086
    "$trainer" bench --device $device $large $micro --steps 1 --seconds 0 > bench.log
    if [ $device = cuda ]; then
        kill "$watcher" && watcher=
        echo "${micro:-whole}: $(sort -n memory.txt | tail -1) MiB on the GPU"
    else
        awk -F'|' -v name="${micro:-whole}" '/^\| maze / && NF > 10 { print name ":" $(NF - 1) "MB" }' bench.log
    fi
done

if [ "$ranks" -gt 1 ]; then
    stage "$ranks ranks, twice: the weights must be the same to the bit"
    for run in first second; do
        # shellcheck disable=SC2086
        "$trainer" launch --nproc "$ranks" -- pretrain $settings global_batch_size=$((32 * ranks)) device=$device \
            checkpoint_path=$run > "$run.log"
    done
    cmp first/last/model.safetensors second/last/model.safetensors && echo "the same"
    grep -E 'samples_per_second|collectives_share' first/metrics.csv | tail -2
fi

stage "the engine: the shipped Sudoku model on $puzzles held-out puzzles"
"$build/speedrun-inference" sudoku --checkpoint "$root/models/shipped/sudoku-9x9" --count "$puzzles" --no-show \
    --out results "${engine[@]}" > engine.log 2>&1 || { cat engine.log >&2; exit 1; }
grep -E '^\|' results/report.md | head -20
stage "done"
