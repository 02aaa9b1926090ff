#!/usr/bin/env bash
# Tests this project on the GPU of this machine, and times a training step there.
#
#   bash tools/gpu_report.sh [--minutes 6] [arguments of benchmarks/gpu_report.py]
#
# Half of the time at most goes to the tests that have a CUDA variant, the rest to benchmarks/gpu_report.py, which prints
# where the time of a step goes and writes gpu_report.json. Takes the Python that is active, with torch, OpenMMLab and
# spconv in it; neither simipu nor mmcv's compiled operators have to be installed.
# --device cpu with small sizes leaves the tests out.
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi
MINUTES=6
if [[ "${1:-}" == --minutes ]]; then
    MINUTES=${2:?--minutes needs a number}
    shift 2
fi

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=$(bash "$PROJECT/tools/find_env_python.sh")
export PYTHONPATH=$PROJECT/projects${PYTHONPATH:+:$PYTHONPATH} PYTHONWARNINGS=ignore
STATUS=0
if [[ " $* " != *' --device cpu '* ]]; then
    (cd "$PROJECT" && timeout "$("$PYTHON" -c "print(30 * $MINUTES)")" \
        "$PYTHON" -m pytest -q -k "cuda or triton" tests/test_ops tests/test_models tests/test_devices.py) || STATUS=$?
    (( STATUS == 0 )) || echo "gpu_report: the tests ended with code $STATUS (124: out of time)" >&2
    MINUTES=$("$PYTHON" -c "print($MINUTES - $SECONDS / 60)")
fi
"$PYTHON" "$PROJECT/benchmarks/gpu_report.py" --minutes "$MINUTES" "$@"
exit $STATUS
