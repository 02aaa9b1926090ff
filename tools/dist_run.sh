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
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-120}"  # seconds to finish a step and save
PYTHON=$(bash "$TOOLS/find_env_python.sh")
if (( ${NNODES:-1} > 1 )) || [[ -n "${PORT:-}" ]]; then
    RENDEZVOUS=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
                --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
    if (( ${NODE_RANK:-0} == 0 )) && ! "$PYTHON" -c 'import socket, sys
socket.create_server(("", int(sys.argv[1]))).close()' "${PORT:-29500}" 2> /dev/null; then
        echo "error: port ${PORT:-29500} is in use, or no number of a port; name a free one: PORT=29501 bash ..." >&2
        exit 1
    fi
else
    RENDEZVOUS=(--standalone)  # finds a free port itself
fi
exec "$PYTHON" "$TOOLS/torchrun.py" "${RENDEZVOUS[@]}" --nproc_per_node="$GPUS" \
    "$TOOLS/$NAME.py" "$CONFIG" "${@:4}" --launcher pytorch
