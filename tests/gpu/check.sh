#!/usr/bin/env bash
# What needs a GPU to be measured, in under ten minutes on one, without a network: training steps per second of the four
# configurations of `trainer bench`, a run on the GPU against the same run on the processor, peak memory, and ranks on all
# GPUs over NCCL. Prints its findings; they belong into docs/performance.md.
#
#   cargo xtask setup --torch-cuda
#   LIBTORCH=$PWD/.native/libtorch-cuda cargo build --release -p trainer --features cuda
#   tests/gpu/check.sh [TRAINER]          # a program of your own; target/release/trainer without
set -euo pipefail

trainer=$(realpath "${1:-target/release/trainer}")
command -v nvidia-smi > /dev/null || { echo "nvidia-smi is not there: this machine has no NVIDIA driver" >&2; exit 1; }
gpus=$(nvidia-smi --list-gpus | wc -l)
folder=$(mktemp -d)
watcher=
trap '[ -z "$watcher" ] || kill "$watcher" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"

echo "== machine"
nvidia-smi --query-gpu=index,name,driver_version,memory.total --format=csv

echo "== training steps (TF32 off)"
"$trainer" bench --device cuda

echo "== a run on the GPU against the same run on the processor, float32"
settings="generator.size=4 arch.mlp_t=True arch.pos_encodings=none arch.puzzle_emb_ndim=0 arch.hidden_size=64 arch.num_heads=2
    arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.halt_max_steps=4 arch.forward_dtype=float32 global_batch_size=32
    max_steps=50 log_interval=10 eval_count=64 lr=1e-3 lr_warmup_steps=5 optimizer=adamw"
for device in cpu cuda; do
    # shellcheck disable=SC2086 # Settings are words.
    "$trainer" pretrain $settings device=$device checkpoint_path=$device > "$device.log"
done
paste -d, cpu/metrics.csv cuda/metrics.csv | awk -F, '
    $3 == "lm_loss" {
        difference = $8 - $4; if (difference < 0) difference = -difference
        printf "step %d %s: %.6f on the processor, %.6f on the GPU\n", $1, $2, $4, $8
        if (difference > 0.001 * $4) worst = 1
    }
    END { if (worst) { print "losses differ by more than 0.1 %"; exit 1 } }'

echo "== peak memory at ARC's 916 tokens, 96 rows (an eighth of the reference's batch)"
nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --id=0 --loop-ms=200 > memory.txt &
watcher=$!
"$trainer" bench --device cuda --config maze-attention --batch-size 96 --steps 5
kill "$watcher" && watcher=
sort -n memory.txt | tail -1 | sed 's/$/ MiB/'

if [ "$gpus" -gt 1 ]; then
    echo "== $gpus ranks over NCCL, twice: the weights must be the same to the bit"
    for run in first second; do
        # shellcheck disable=SC2086
        "$trainer" launch --nproc "$gpus" -- pretrain $settings global_batch_size=$((32 * gpus)) device=cuda \
            checkpoint_path=$run > "$run.log"
    done
    cmp first/last/model.safetensors second/last/model.safetensors && echo "the same"
    grep -E 'samples_per_second|collectives_share' first/metrics.csv | tail -2
fi
