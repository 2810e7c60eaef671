#!/usr/bin/env bash
# Two ranks with a thread each against one process with two threads, in turns, twice: samples a second, peak memory of all
# processes together, and rank 0's share of time in collectives. Wants an idle machine; takes under four minutes on two
# cores of 2024.
#
#   cargo build --release -p trainer && tests/distributed/scaling.sh [TRAINER] [STEPS] [KEY=VALUE ...]
set -euo pipefail
trainer=$(realpath "${1:-target/release/trainer}") steps=${2:-100}
folder=$(mktemp -d)
process=
trap '[ -z "$process" ] || kill "$process" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"
# The configuration `small` of `trainer bench`, in bfloat16, unless settings say otherwise.
settings="generator.size=9 arch.hidden_size=128 arch.num_heads=4 arch.mlp_t=True arch.pos_encodings=none
    arch.puzzle_emb_ndim=0 arch.q_head_input=mean global_batch_size=64 max_steps=$steps log_interval=20 eval_count=64
    eval_interval_steps=1000000 checkpoint_interval=1000000 ${*:3}"

# Kilobytes of the largest resident set of each process so far: the ranks of a launcher, or the process itself.
peaks() { # process
    local ranks id
    ranks=$(cat "/proc/$1/task/$1/children" 2> /dev/null || true)
    for id in ${ranks:-$1}; do
        echo "$id $(awk '/^VmHWM/ { print $2 }' "/proc/$id/status" 2> /dev/null)"
    done
}

measure() { # name, folder, command...
    local name=$1 run=$2
    shift 2
    "$@" checkpoint_path="$run" > log 2>&1 &
    process=$!
    : > peaks.txt
    while kill -0 "$process" 2> /dev/null; do
        peaks "$process" >> peaks.txt
        sleep 0.5
    done
    wait "$process" || { cat log >&2; exit 1; }
    process=
    # The first interval begins cold.
    awk -F, -v name="$name" -v peaks=peaks.txt '
        $2 == "train" && $3 == "samples_per_second" && ++intervals > 1 { rates[++count] = $4 }
        $3 == "collectives_share" { share += $4; shares++ }
        END {
            n = asort_numbers(rates, count)
            while ((getline line < peaks) > 0) { split(line, part, " "); if (part[2] > most[part[1]]) most[part[1]] = part[2] }
            for (id in most) sum += most[id]
            collectives = shares ? sprintf("%.1f %%", 100 * share / shares) : "-"
            printf "| %s | %.1f | %.1f-%.1f | %d | %s |\n", name, rates[int((n + 1) / 2)], rates[1], rates[n], sum / 1024, collectives
        }
        function asort_numbers(values, n,    i, j, value) {
            for (i = 2; i <= n; i++) {
                value = values[i]
                for (j = i - 1; j > 0 && values[j] > value; j--) values[j + 1] = values[j]
                values[j + 1] = value
            }
            return n
        }' "$run/metrics.csv"
}

echo "| processes | samples/s | lowest-highest interval | peak MB of all | in collectives |"
echo "|---|---|---|---|---|"
for round in 1 2; do
    # shellcheck disable=SC2086 # Settings are words.
    measure "one, two threads" "one$round" "$trainer" pretrain $settings threads=2
    # shellcheck disable=SC2086
    measure "two, one thread each" "two$round" "$trainer" launch --nproc 2 -- pretrain $settings threads=1
done
