#!/bin/sh
# Starts `trainer pretrain` as one rank of a job, with the number that the scheduler gives it, and goes on from the last
# checkpoint of RUN where there is one: a job that was preempted or has failed is simply started again.
#   start-rank.sh RUN [FLAG or key=value of `trainer pretrain` …]
# RUN is a folder that all ranks see. NPROC=4 without a scheduler: four ranks on this machine, by `trainer launch`.
set -eu

run=$1
shift
if [ -e "$run/last" ]; then
    set -- "resume=$run"
else
    set -- "$@" "checkpoint_path=$run"
fi

if [ -n "${NPROC:-}" ]; then
    exec trainer launch --nproc "$NPROC" --max-restarts "${MAX_RESTARTS:-3}" -- pretrain "$@"
elif [ -n "${SLURM_PROCID:-}" ]; then
    # srun: MASTER_ADDR and MASTER_PORT come from deploy/slurm/train.sbatch.
    RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
    # As in 4(x2): four on each of two nodes.
    LOCAL_WORLD_SIZE=${SLURM_STEP_TASKS_PER_NODE%%[!0-9]*}
elif [ -n "${PET_NODE_RANK:-}" ]; then
    # Kubeflow, both forms: what torchrun would read. A pod is a rank.
    RANK=$PET_NODE_RANK WORLD_SIZE=$PET_NNODES MASTER_ADDR=$PET_MASTER_ADDR MASTER_PORT=$PET_MASTER_PORT
    LOCAL_RANK=0 LOCAL_WORLD_SIZE=1
elif [ -n "${JOB_COMPLETION_INDEX:-}" ]; then
    # An Indexed Job: WORLD_SIZE, MASTER_ADDR and MASTER_PORT come from the manifest. A pod is a rank.
    RANK=$JOB_COMPLETION_INDEX LOCAL_RANK=0 LOCAL_WORLD_SIZE=1
else
    echo "start-rank.sh: no scheduler has numbered this process; run \`srun\` around it, or set NPROC" >&2
    exit 2
fi
export RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT
exec trainer pretrain "$@"
