#!/usr/bin/env bash
# Trains in several processes, one per GPU; on a machine without GPU, as many on the CPU (gloo).
#
#   bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# On several machines run it on each, with the number of GPUs of that machine, and
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh CONFIG GPUS
# where NODE_RANK counts the machines from 0, and MASTER_ADDR is that of machine 0.
exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_run.sh" train "$@"
