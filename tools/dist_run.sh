#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: starts tools/NAME.py in several processes by torchrun.
#
#   bash tools/dist_run.sh NAME CONFIG GPUS [arguments of tools/NAME.py]
set -euo pipefail

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NAME=$1
if (( $# < 3 )) || ! [[ $3 =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$TOOLS/dist_$NAME.sh" >&2
    exit 2
fi
CONFIG=$2 GPUS=$3

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"  # else every process starts as many threads as there are cores
exec "$(bash "$TOOLS/find_env_python.sh")" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$TOOLS/$NAME.py" "$CONFIG" "${@:4}" --launcher pytorch
