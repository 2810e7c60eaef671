#!/usr/bin/env bash
# Puzzles per second and latency under 64 clients: the server as it is, against the same server made to run all 16 steps
# of every puzzle in batches that are filled once. Needs wrk (Debian: apt-get install wrk) and release builds:
#   cargo build --release -p server -p datasets && tests/load/throughput.sh [SECONDS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-30} clients=64 port=${PORT:-18080}
bin=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
server=
stop() { if [ -n "$server" ]; then kill "$server" && wait "$server" || true; server=; fi; }
trap 'stop; rm -rf "$work"' EXIT

start() {
  "$bin/server" --bind "127.0.0.1:$port" "$@" 2> "$work/log" &
  server=$!
  for _ in $(seq 300); do
    if curl -fs "127.0.0.1:$port/readyz" > /dev/null; then return; fi
    sleep 0.1
  done
  cat "$work/log"; exit 1
}

run() { # name, puzzles, options
  local line
  # The first seconds fill the queues.
  wrk -t1 -c$clients -d3s -s tests/load/solve.lua "http://127.0.0.1:$port" -- "$work/$2" ${3:+"$3"} > /dev/null
  before=$(counters)
  line=$(wrk -t1 -c$clients -d"${seconds}s" --timeout 60s -s tests/load/solve.lua "http://127.0.0.1:$port" -- "$work/$2" ${3:+"$3"} |
    grep '^figures')
  after=$(counters)
  read -r _ rate p50 p99 errors <<< "$line"
  if [ "$errors" != 0 ]; then echo "$errors requests failed" >&2; exit 1; fi
  overhead=$(awk -v b="$before" -v a="$after" 'BEGIN { split(b, x); split(a, y); m = y[1] - x[1]; t = y[2] - x[2]; printf "%.2f", 100 * (t - m) / m }')
  echo "| $1 | $2 | $rate | $p50 | $p99 | $overhead % |"
}

# Seconds inside the model and inside the engine's turns, of the 9x9 model.
counters() {
  curl -fs "127.0.0.1:$port/info" | python3 -c '
import json, sys
models = [m for m in json.load(sys.stdin)["models"] if m["task"] == "sudoku"]
counters = models[0]["engine"]["counters"]
print(counters["model_seconds"], counters["busy_seconds"])'
}

for extra in 0 10 25; do
  "$bin/datasets" generate sudoku --count 3000 --extra-clues $extra --seed 1 > "$work/minimal+$extra"
done
echo "| server | puzzles | puzzles/s | p50 ms | p99 ms | engine besides the model |"
echo "|---|---|---|---|---|---|"
start --batching static
for extra in 0 10 25; do run "16 steps, static batches" "minimal+$extra" '"halting": "fixed", "max_steps": 16'; done
stop
start
for extra in 0 10 25; do run "first chain only" "minimal+$extra" '"augmentations": 0, "rollouts": 0, "depth": 0'; done
for extra in 0 10 25; do run "as it is" "minimal+$extra"; done
stop
