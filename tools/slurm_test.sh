#!/usr/bin/env bash
# Evaluate as a job of Slurm, one process for each GPU:
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
# Variables: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS, PYTHON.
# In a partition without GPUs: SRUN_ARGS=--gres=none.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

expect 'PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]' 4 "$@"
partition=$1 job_name=$2 config=$3 checkpoint=$4
shift 4
expect_config "$config"
slurm_resources srun "$partition" "$job_name"
# SRUN_ARGS holds any number of words
# shellcheck disable=SC2086
exec srun "${resources[@]}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tools/test.py" "$config" "$checkpoint" --launcher=slurm "$@"
