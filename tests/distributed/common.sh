# What the scripts beside this file share: a small model, how a run is started, and how two runs are compared. Sourced.
# shellcheck shell=bash

# One layer, 32 wide, on generated 4x4 Sudokus; a checkpoint every fifth step.
# shellcheck disable=SC2034 # The scripts that source this file use it.
tiny="generator.size=4 generator.extra_clues=[0,5] arch.mlp_t=True arch.pos_encodings=none arch.puzzle_emb_ndim=0
    arch.q_head_input=mean arch.hidden_size=32 arch.num_heads=2 arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2
    arch.halt_max_steps=4 optimizer=adamw lr=1e-3 lr_warmup_steps=5 lr_min_ratio=0.1 ema=True eval_count=24
    eval_interval_steps=100000 log_interval=1 checkpoint_interval=5 threads=1 checkpoint_path=run"

# How many checkpoints a run has.
checkpoints() { find "$1" -mindepth 1 -maxdepth 1 -type d -name 'step_*' | wc -l; }

# Checkpoints and links of two runs, byte by byte; logs and what tells the time are left out.
same_checkpoints() { # expected, found
    local folder
    for folder in "$1"/step_*; do
        diff --recursive --brief "$folder" "$2/$(basename "$folder")" || return 1
    done
    [ "$(checkpoints "$1")" = "$(checkpoints "$2")" ] || { echo "other checkpoints" >&2; return 1; }
    [ "$(readlink "$1/last")" = "$(readlink "$2/last")" ] || { echo "other links" >&2; return 1; }
}

# Last step in a run's log; 0 before the first.
logged_step() {
    local line=
    [ ! -f "$1/metrics.csv" ] || line=$(tail -n 1 "$1/metrics.csv")
    line=${line%%,*}
    case $line in *[!0-9]* | "") echo 0 ;; *) echo "$line" ;; esac
}

# Process of rank $2 among the children of launcher $1.
rank_of() {
    local child children
    read -ra children < "/proc/$1/task/$1/children" || true # The line has no end.
    for child in "${children[@]}"; do
        if tr '\0' '\n' < "/proc/$child/environ" 2> /dev/null | grep -qx "RANK=$2"; then echo "$child"; return; fi
    done
}
