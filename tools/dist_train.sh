#!/usr/bin/env bash
# Train with several processes, one for each GPU:
#   tools/dist_train.sh CONFIG GPUS [options of train.py]
# On several machines, on each of them: NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

expect 'CONFIG GPUS [options of train.py]' 2 "$@"
config=$1 gpus=$2
shift 2
expect_config "$config"
launch "$gpus" train.py "$config" --launcher pytorch "$@"
