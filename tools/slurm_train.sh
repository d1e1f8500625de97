#!/usr/bin/env bash
# Train as a job of Slurm, one process for each GPU:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
# Variables: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS, PYTHON.
# In a partition without GPUs: SRUN_ARGS=--gres=none.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

expect 'PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]' 4 "$@"
partition=$1 job_name=$2 config=$3 work_dir=$4
shift 4
expect_config "$config"
gpus=${GPUS:-8}
expect_number GPUS "$gpus"
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
expect_number GPUS_PER_NODE "$gpus_per_node"
command -v srun >/dev/null || die 'srun is not there: this machine has no Slurm'

# SRUN_ARGS holds any number of words
# shellcheck disable=SC2086
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres=gpu:"$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tools/train.py" "$config" \
    --work-dir="$work_dir" --launcher=slurm "$@"
