#!/usr/bin/env bash
# Kills a random rank at a random step, fifty times, resumes after each, and compares the checkpoints with those of a run
# that was left alone: they must be the same bytes. Takes minutes; not part of the test suite, which kills a few.
#
#   cargo build --release -p trainer && tests/distributed/kills.sh [TRAINER] [RANKS] [KILLS] [SEED]    # STEPS=N: more on a fast machine
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source=tests/distributed/common.sh
. "$here/common.sh"
trainer=$(realpath "${1:-target/release/trainer}") ranks=${2:-2} kills=${3:-50} RANDOM=${4:-1}
export OMP_NUM_THREADS=1
folder=$(mktemp -d)
launcher=
trap '[ -z "$launcher" ] || kill "$launcher" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"
steps=${STEPS:-$((kills * 40 + 40))}
settings="$tiny global_batch_size=$((8 * ranks)) max_steps=$steps"

mkdir undisturbed killed
# shellcheck disable=SC2086 # Settings are words.
(cd undisturbed && "$trainer" launch --nproc "$ranks" -- pretrain $settings > log 2>&1)
echo "undisturbed: $ranks ranks, $steps steps"

cd killed
# shellcheck disable=SC2206
command=(pretrain $settings)
done_kills=0 slowest=0 last=0
while [ "$done_kills" -lt "$kills" ]; do
    "$trainer" launch --nproc "$ranks" -- "${command[@]}" > log 2> errors &
    launcher=$!
    # One of the next twenty steps that no start has come to, and a random moment in it.
    target=$((last + 1 + RANDOM % 20))
    until [ "$(logged_step run)" -ge "$target" ]; do
        kill -0 "$launcher" 2> /dev/null || { echo "the run ended before kill $((done_kills + 1))" >&2; cat errors >&2; exit 1; }
        sleep 0.05
    done
    sleep "0.0$((RANDOM % 90 + 10))"
    victim=$((RANDOM % ranks))
    process=$(rank_of "$launcher" "$victim")
    begin=$(date +%s%N)
    kill -KILL "$process"
    status=0
    wait "$launcher" || status=$?
    launcher=
    took=$(( ($(date +%s%N) - begin) / 1000000 ))
    [ "$status" = 1 ] || { echo "kill $((done_kills + 1)): the launcher ended with status $status" >&2; exit 1; }
    grep -q "error: rank $victim was killed by signal 9" errors || { echo "rank $victim is not named:" >&2; cat errors >&2; exit 1; }
    [ "$took" -le "$slowest" ] || slowest=$took
    done_kills=$((done_kills + 1))
    last=$(logged_step run)
    echo "kill $done_kills: rank $victim past step $target, all ended in $took ms, the last checkpoint is $(readlink run/last)"
    command=(pretrain resume=run)
done
"$trainer" launch --nproc "$ranks" -- "${command[@]}" > log 2> errors
cd ..
same_checkpoints undisturbed/run killed/run
echo "$kills kills of $ranks ranks: the same bytes after $steps steps (checkpoints kept: $(checkpoints undisturbed/run)); slowest end $slowest ms"
