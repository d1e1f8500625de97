#!/usr/bin/env bash
# Evaluate with several processes, one for each GPU:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# On several machines, on each of them: NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

expect 'CONFIG CHECKPOINT GPUS [options of test.py]' 3 "$@"
config=$1 checkpoint=$2 gpus=$3
shift 3
expect_config "$config"
launch "$gpus" test.py "$config" "$checkpoint" --launcher pytorch "$@"
