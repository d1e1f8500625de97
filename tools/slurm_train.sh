#!/usr/bin/env bash
# Train as a job of Slurm, one process for each GPU:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
# Variables: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS, PYTHON.
# In a partition without GPUs: SRUN_ARGS=--gres=none.
# REQUEUE=1 submits a batch job instead, which continues from the last checkpoint in
# WORK_DIR: it saves SAVE_SECONDS (120) before its time limit, queues itself again and
# goes on, until the training ends or fails. Its log is WORK_DIR/slurm-JOB.log, and
# SRUN_ARGS are options of sbatch, among them --time.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

expect 'PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]' 4 "$@"
partition=$1 job_name=$2 config=$3 work_dir=$4
shift 4
expect_config "$config"
requeue=${REQUEUE:-0}
[[ $requeue == [01] ]] || die "REQUEUE must be 0 or 1, got '$requeue'"
slurm_resources "$([[ $requeue == 1 ]] && echo sbatch || echo srun)" "$partition" "$job_name"
train=("$PYTHON" -u "$tools/train.py" "$config"
    --work-dir="$work_dir" --launcher=slurm "$@")

if [[ $requeue == 0 ]]; then
    # SRUN_ARGS holds any number of words
    # shellcheck disable=SC2086
    exec srun "${resources[@]}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} "${train[@]}"
fi

seconds=${SAVE_SECONDS:-120}
expect_number SAVE_SECONDS "$seconds"
for option in "$@"; do
    [[ $option != --resume* ]] || die 'REQUEUE=1 resumes by itself: for weights to' \
        'start from, give --cfg-options load_from=FILE'
done
mkdir -p "$work_dir"
# train.py ends with 138 (128 + SIGUSR1) once it has saved because of the signal; after
# any other error, the same job would fail again
# shellcheck disable=SC2086
exec sbatch "${resources[@]}" --requeue --signal=USR1@"$seconds" \
    --open-mode=append --output="$work_dir/slurm-%j.log" ${SRUN_ARGS:-} <<END
#!/usr/bin/env bash
srun --kill-on-bad-exit=1 $(printf '%q ' "${train[@]}")--resume
status=\$?
((status != 138)) || scontrol requeue "\$SLURM_JOB_ID"
exit \$status
END
