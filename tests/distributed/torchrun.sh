#!/usr/bin/env bash
# torchrun against `trainer launch`: the same checkpoints to the bit on 2 and 3 ranks, and after a rank was killed under
# --max-restarts. Wants torchrun in PATH (`pip install torch`, of any version: it starts processes and holds the store).
#
#   cargo build --release -p trainer && tests/distributed/torchrun.sh [TRAINER]
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source=tests/distributed/common.sh
. "$here/common.sh"
trainer=$(realpath "${1:-target/release/trainer}")
command -v torchrun > /dev/null || { echo "torchrun is not in PATH; pip install torch" >&2; exit 1; }
export OMP_NUM_THREADS=1
folder=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill "$agent" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"
steps=${STEPS:-400}
settings="$tiny global_batch_size=12 max_steps=$steps"

python3 -c 'import torch; print("torch", torch.__version__)'
for ranks in 2 3; do
    mkdir -p "launch$ranks" "torchrun$ranks" "killed$ranks"
    # shellcheck disable=SC2086 # Settings are words.
    (cd "launch$ranks" && "$trainer" launch --nproc "$ranks" -- pretrain $settings > log 2>&1)
    # shellcheck disable=SC2086
    (cd "torchrun$ranks" && torchrun --no-python --nproc-per-node "$ranks" "$trainer" pretrain $settings > log 2>&1)
    same_checkpoints "launch$ranks/run" "torchrun$ranks/run"
    echo "$ranks ranks, $steps steps: torchrun and trainer launch leave the same checkpoints to the bit"

    cd "killed$ranks"
    # shellcheck disable=SC2086
    torchrun --no-python --max-restarts 1 --nproc-per-node "$ranks" "$trainer" pretrain $settings > log 2>&1 &
    agent=$!
    until [ "$(logged_step run)" -ge $((steps / 3)) ]; do
        kill -0 "$agent" 2> /dev/null || { cat log >&2; exit 1; }
        sleep 0.005
    done
    kill -KILL "$(rank_of "$agent" $((ranks - 1)))"
    wait "$agent" || { cat log >&2; exit 1; }
    agent=
    cd ..
    same_checkpoints "launch$ranks/run" "killed$ranks/run"
    grep -m 1 "on rank" "killed$ranks/log" || true
    echo "$ranks ranks, rank $((ranks - 1)) killed at about step $((steps / 3)) under --max-restarts 1: the same checkpoints to the bit"
done
