# Functions that dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh share.
# PYTHON is the interpreter; its default is that of `make setup`, if it exists.

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=$tools/../.venv/bin/python
    [[ -x $PYTHON ]] || PYTHON=python
fi

die() {
    echo "error: $*" >&2
    exit 2
}

# expect USAGE NUMBER ARGUMENTS...: end unless there are NUMBER arguments or more
expect() {
    local usage="usage: $0 $1" least=$2
    shift 2
    (($# >= least)) || die "$least arguments are needed, got $#; $usage"
}

# expect_config CONFIG: end unless the file exists or is one that the package finds
expect_config() {
    [[ -f $1 || $1 == sparx_mm::* ]] || die "no config file $1"
}

# expect_number NAME VALUE: end unless the value is a number from 1
expect_number() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 must be a number from 1, got '$2'"
}

# launch GPUS TOOL ARGUMENTS...: start GPUS processes of a tool on this machine
launch() {
    local gpus=$1 tool=$2
    shift 2
    expect_number GPUS "$gpus"
    local place=(
        --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}"
        --master-addr="${MASTER_ADDR:-127.0.0.1}"
        --master-port="${PORT:-29500}")
    # a free port, because two runs on a machine would clash on a fixed one
    if [[ ${NNODES:-1} == 1 && -z ${PORT:-}${MASTER_ADDR:-} ]]; then
        place=(--standalone --local-addr=127.0.0.1)
    fi
    # torchrun's own default, set here because it warns when it sets it
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    exec "$PYTHON" -m sparx_mm.run.torchrun "${place[@]}" \
        --nproc-per-node="$gpus" "$tools/$tool" "$@"
}

# slurm_resources PROGRAM PARTITION JOB_NAME: set `resources` to the options of srun or sbatch
# that GPUS (8), GPUS_PER_NODE (8) and CPUS_PER_TASK (5) ask for
slurm_resources() {
    local gpus=${GPUS:-8}
    expect_number GPUS "$gpus"
    local gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    expect_number GPUS_PER_NODE "$gpus_per_node"
    command -v "$1" >/dev/null || die "$1 is not there: this machine has no Slurm"
    resources=(-p "$2"
        --job-name="$3"
        --gres=gpu:"$gpus_per_node"
        --ntasks="$gpus"
        --ntasks-per-node="$gpus_per_node"
        --cpus-per-task="${CPUS_PER_TASK:-5}")
}
