#!/usr/bin/env bash
# Two replicas with one core each behind HAProxy (deploy/balancer/haproxy.cfg), under the load of throughput.sh:
#   throughput  the two replicas against one server with two cores
#   update      both replicas are replaced under load, one after the other
#   kill        both replicas are killed (SIGKILL) under load, one after the other
#   queue       the autoscaler's metric, puzzles waiting in each replica, against offered load
# A failed request in `update` or `kill` fails the script. Needs wrk and HAProxy (Debian: apt-get install wrk haproxy), two
# cores and release builds; all parts take less than four minutes:
#   cargo build --release -p server -p datasets && tests/load/fleet.sh [SECONDS [PART …]]
# BIN names another folder of programs, CLIENTS another number of clients than 64: on a machine that is busy otherwise, fewer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-15}
parts=("${@:2}")
[ ${#parts[@]} -gt 0 ] || parts=(throughput update kill queue)
clients=${CLIENTS:-64} port=${PORT:-18080}
bin=${BIN:-${CARGO_TARGET_DIR:-target}/release}
balancer=127.0.0.1:$port statistics=127.0.0.1:$((port + 9))
replicas=("127.0.0.1:$((port + 1))" "127.0.0.1:$((port + 2))")
autoscaler=deploy/kubernetes/components/autoscaling/horizontalpodautoscaler.yaml
target=$(sed -n 's/ *averageValue: "\([0-9]*\)"/\1/p' $autoscaler)
most=$(sed -n 's/ *maxReplicas: \([0-9]*\)/\1/p' $autoscaler)
work=$(mktemp -d)
servers=()
proxy=
load=
end() {
  if [ -z "${1:-}" ]; then return; fi
  kill "$1" 2> /dev/null || true
  wait "$1" 2> /dev/null || true
}
trap 'for pid in "$load" "$proxy" "${servers[@]}"; do end "$pid"; done; rm -rf "$work"' EXIT

until_ready() { # address, process
  for _ in $(seq 600); do
    if curl -fs "http://$1/readyz" > /dev/null; then return; fi
    kill -0 "$2" 2> /dev/null || break
    sleep 0.1
  done
  cat "$work"/log* "$work"/proxy >&2; exit 1
}

start() { # place, cores, address, options
  taskset -c "$2" "$bin/server" --checkpoint models/shipped/sudoku --bind "$3" --drain-delay-ms 2500 --max-wait-ms 20000 "${@:4}" 2>> "$work/log$1" &
  servers[$1]=$!
  until_ready "$3" "${servers[$1]}"
}

fleet() {
  start 0 0 "${replicas[0]}" --threads 1
  start 1 1 "${replicas[1]}" --threads 1
  TRM_BALANCER_BIND=$balancer TRM_BALANCER_STATISTICS=$statistics TRM_REPLICA_1=${replicas[0]} TRM_REPLICA_2=${replicas[1]} \
    haproxy -db -f deploy/balancer/haproxy.cfg 2> "$work/proxy" &
  proxy=$!
  until_ready "$balancer" "$proxy"
}

stop_all() {
  end "$proxy"; proxy=
  for pid in "${servers[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${servers[@]}"; do wait "$pid" 2> /dev/null || true; done
  servers=()
}

offer() { # address, seconds, clients, pause: rate, p50 ms, p99 ms, failed
  wrk -t1 -c"$3" -d"$2s" --timeout 60s -s tests/load/solve.lua "http://$1" -- "$work/puzzles" "" ${4:+"$4"} |
    sed -n 's/^figures //p'
}

# Requests sent again, and responses of status 4xx and 5xx, as HAProxy counts them.
retries() {
  curl -fs "http://$statistics/;csv" | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
    $2 == "BACKEND" { print $column["wretr"] + 0, $column["hrsp_4xx"] + 0, $column["hrsp_5xx"] + 0 }'
}

# Puzzles that wait in each replica, on average over the replicas.
waiting() {
  for address in "${replicas[@]}"; do curl -fs "http://$address/metrics"; done |
    awk -v replicas=${#replicas[@]} '/^trm_queue_waiting\{/ { sum += $2 } END { print sum / replicas }'
}

throughput() {
  echo "| servers | puzzles/s | p50 ms | p99 ms | failed |"
  echo "|---|---|---|---|---|"
  start 0 0,1 "${replicas[0]}" --threads 2
  offer "${replicas[0]}" 3 "$clients" > /dev/null
  echo "| one, two threads | $(offer "${replicas[0]}" "$seconds" "$clients" | sed 's/ / | /g') |"
  stop_all
  fleet
  offer "$balancer" 3 "$clients" > /dev/null
  echo "| two behind HAProxy, a thread each | $(offer "$balancer" "$seconds" "$clients" | sed 's/ / | /g') |"
  stop_all
}

# Runs `change PLACE` on both replicas under load, and fails if a request did.
under_load() { # name, change
  local rate p50 p99 failed again refused errors
  fleet
  offer "$balancer" "$((2 * seconds))" "$clients" > "$work/figures" &
  load=$!
  sleep 3
  for place in 0 1; do
    "$2" $place
    # The balancer asks every second.
    sleep 2
  done
  if ! kill -0 "$load" 2> /dev/null; then
    echo "the load ended before the replicas were changed; give more than $seconds seconds" >&2; exit 1
  fi
  wait "$load"; load=
  read -r rate p50 p99 failed < "$work/figures"
  read -r again refused errors <<< "$(retries)"
  echo "$1: $rate puzzles/s, p50 $p50 ms, p99 $p99 ms, $again requests sent again, $failed failed"
  stop_all
  if [ "$failed" != 0 ] || [ "$errors" != 0 ]; then echo "$1 lost answers: $failed failed, $refused of them with 4xx, $errors with 5xx" >&2; exit 1; fi
}

replace() { # place
  kill "${servers[$1]}"
  wait "${servers[$1]}" || { cat "$work/log$1" >&2; exit 1; }
  start "$1" "$1" "${replicas[$1]}" --threads 1
}

kill_and_restart() { # place
  kill -KILL "${servers[$1]}"
  wait "${servers[$1]}" 2> /dev/null || true
  sleep 2
  start "$1" "$1" "${replicas[$1]}" --threads 1
}

queue() {
  fleet
  offer "$balancer" 3 "$clients" > /dev/null
  read -r capacity _ <<< "$(offer "$balancer" 5 "$clients")"
  if awk "BEGIN { exit !($capacity < 10) }"; then
    echo "the replicas answer $capacity puzzles/s; use release builds on an idle machine" >&2; exit 1
  fi
  echo "| offered puzzles/s | answered | p50 ms | p99 ms | failed | waiting in each replica | replicas wanted |"
  echo "|---|---|---|---|---|---|---|"
  local population=400
  for share in 50 80 100 120 200; do
    pause=$(awk "BEGIN { printf \"%.0f\", $population * 100000 / ($share * $capacity) }")
    offer "$balancer" "$seconds" $population "$pause" > "$work/figures" &
    load=$!
    # The first half fills the queues.
    sleep $((seconds / 2))
    : > "$work/waiting"
    for _ in $(seq $((seconds / 2 - 1))); do waiting >> "$work/waiting"; sleep 1; done
    wait "$load"; load=
    awk -v share=$share -v capacity="$capacity" -v target="$target" -v most="$most" -v figures="$(sed 's/ / | /g' "$work/figures")" '
      { sum += $1 }
      END {
        mean = sum / NR; wanted = 2 * mean / target; whole = int(wanted); if (whole < wanted) whole++
        # The autoscaler tolerates a tenth, and stays between two and its maxReplicas.
        if (whole < 2 || (mean > 0.9 * target && mean < 1.1 * target)) whole = 2
        if (whole > most) whole = most
        printf "| %.0f (%d %%) | %s | %.1f | %d |\n", capacity * share / 100, share, figures, mean, whole
      }' "$work/waiting"
  done
  stop_all
}

"$bin/datasets" generate sudoku --count 3000 --extra-clues 10 --seed 1 > "$work/puzzles"
for part in "${parts[@]}"; do
  case $part in
    throughput) throughput ;;
    update) under_load "both replicas replaced" replace ;;
    kill) under_load "both replicas killed" kill_and_restart ;;
    queue) queue ;;
    *) echo "unknown part \`$part\`; expected throughput, update, kill or queue" >&2; exit 2 ;;
  esac
done
