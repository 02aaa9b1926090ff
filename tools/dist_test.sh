#!/usr/bin/env bash
# Evaluates in several processes, one per GPU; on a machine without GPU, as many on the CPU (gloo).
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
#
# Several machines: see tools/dist_train.sh.
if (( $# < 3 )); then
    exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" test  # prints the usage
fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" test "$CONFIG" "$GPUS" "$CHECKPOINT" "${@:4}"
