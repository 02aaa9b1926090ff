#!/usr/bin/env bash
# Trains on a Slurm cluster, one process per GPU.
#
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#       bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
#
# REQUEUE=1 submits a batch job instead of waiting for the training: 300 seconds (GRACE) before its time limit, and when
# it is preempted, the training saves and exits with code 75, the job is queued again, and goes on from there.
set -euo pipefail

if (( $# < 4 )); then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 WORK_DIR=$4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$(( GPUS < 8 ? GPUS : 8 ))}
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck disable=SC2206  (SRUN_ARGS holds several arguments)
RESOURCES=(-p "$PARTITION" --job-name="$JOB_NAME" --gres="gpu:$GPUS_PER_NODE" --ntasks="$GPUS"
           --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}" ${SRUN_ARGS:-})
TRAINING=("$(bash "$TOOLS/find_env_python.sh")" -u "$TOOLS/train.py" "$CONFIG" --work-dir "$WORK_DIR"
          --launcher slurm "${@:5}")

if [[ -z "${REQUEUE:-}" ]]; then
    exec srun "${RESOURCES[@]}" --kill-on-bad-exit=1 "${TRAINING[@]}"
fi
# The signal goes to the processes of srun, not to the shell, which has to see how they end. srun takes the number
# of processors of a task from its own argument only.
exec sbatch "${RESOURCES[@]}" --requeue --open-mode=append --signal="TERM@${GRACE:-300}" <<EOF
#!/usr/bin/env bash
srun --cpus-per-task=${CPUS_PER_TASK:-5} --kill-on-bad-exit=1 $(printf '%q ' "${TRAINING[@]}") --resume
STATUS=\$?
(( STATUS != 75 )) || exec scontrol requeue "\$SLURM_JOB_ID"
exit \$STATUS
EOF
