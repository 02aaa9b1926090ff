#!/usr/bin/env bash
# Installs simipu and all it needs; does nothing if that is done already.
#
#   bash tools/install.sh
#
# Variables:
#   SIMIPU_ENV  folder of the virtual environment (default: .venv in this project)
#   PYTHON      the Python 3.11 to make it with (default: the first python3.11 or python3 on the PATH)
#
# A torch that is already in the environment is kept, whether for CPU or for CUDA, if it is one that
# requirements.txt allows; else this stops. pip reads its own variables (PIP_INDEX_URL, PIP_FIND_LINKS,
# ...), for a mirror or for wheels of torch or mmcv you have.
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi

CALLER=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ENVIRONMENT=${SIMIPU_ENV:-.venv}
[[ -n "${SIMIPU_ENV:-}" && "$SIMIPU_ENV" != /* ]] && ENVIRONMENT=$CALLER/$SIMIPU_ENV
ENVIRONMENT=$(realpath -m "$ENVIRONMENT")
ENV_PYTHON=$ENVIRONMENT/bin/python
STAMP=$ENVIRONMENT/simipu_installed
LOG=$ENVIRONMENT/simipu_install.log
TORCH=torch==2.13.0

fail() { echo "install: $*" >&2; exit 1; }

# What the environment was made from; a change of it means that there is something to do.
fingerprint() {
    { pwd; "$ENV_PYTHON" --version; cat setup.py pyproject.toml requirements.txt requirements/*.txt; } | sha256sum
}

# Quick: looks for the packages without importing them.
is_complete() {
    [[ -x $ENV_PYTHON && -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]] || return 1
    "$ENV_PYTHON" -c '
import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))
' simipu torch mmengine mmcv mmdet mmdet3d cv2 pytest
}

version_of() { "$ENV_PYTHON" -c "from importlib.metadata import version; print(version('$1'))" 2> /dev/null; }

has() { version_of "$1" > /dev/null; }

# The requirement of one package, as requirements.txt has it.
range_of() { grep -E "^$1[<>=]" requirements.txt; }

# pip would replace another torch without a word, such as the one for your CUDA.
check_torch() {
    local found
    found=$(version_of torch) || return 0
    "$ENV_PYTHON" -c '
import sys
from pip._vendor.packaging.requirements import Requirement
sys.exit(not Requirement(sys.argv[1]).specifier.contains(sys.argv[2], prereleases=True))
' "$(range_of torch)" "$found" || fail "found torch $found in $ENVIRONMENT; requirements.txt needs" \
        "$(range_of torch). Put that in (for a GPU, the build for your CUDA), or uninstall torch, and run this again"
}

# The first Python 3.11 of the given ones.
find_python() {
    local candidate
    for candidate in "$@"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.11, for which alone all packages have wheels; not so: $*." \
        "Name one: PYTHON=/path/to/python3.11 bash tools/install.sh"
}

# One line that names every missing Debian package.
check_system() {
    local missing=()
    "$1" -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3.11-venv)
    "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
        || missing+=(python3.11-dev)
    command -v "${CXX:-g++}" > /dev/null || missing+=(g++)
    [[ ${#missing[@]} == 0 ]] || fail "first run, as root: apt-get install -y ${missing[*]}"
}

# step TITLE COMMAND...: runs the command with its output in the log, and shows that it is alive.
step() {
    local title=$1 start=$SECONDS next=$(( SECONDS + 20 )) pid objects
    shift
    echo "[$(date +%T)] $title"
    { echo "== $title: $*"; "$@"; } >> "$LOG" 2>&1 < /dev/null &
    pid=$!
    trap 'kill $pid 2> /dev/null; exit 130' INT TERM
    while kill -0 $pid 2> /dev/null; do
        sleep 0.2
        (( SECONDS < next )) && continue
        next=$(( next + 20 ))
        objects=$(find "$TMPDIR" -name '*.o' | wc -l)
        echo "[$(date +%T)]   ... $(( SECONDS - start )) s$( (( objects == 0 )) || echo ", $objects files compiled" )"
    done
    trap - INT TERM
    wait $pid || { tail -n 30 "$LOG" >&2; fail "failed: $title; the whole output is in $LOG"; }
}

pip_install() { "$ENV_PYTHON" -m pip install --disable-pip-version-check -c requirements.txt "$@"; }

# mmcv with its compiled operators, built for the torch of this environment.
install_mmcv() {
    if "$ENV_PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' \
            && ! command -v nvcc > /dev/null && [[ -z "${CUDA_HOME:-}" ]]; then
        echo "install: there is a GPU but no CUDA compiler: mmcv's operators for the GPU need nvcc (CUDA_HOME)," \
            "or a wheel of mmcv for this torch, given to pip by PIP_FIND_LINKS" >&2
    fi
    echo '  mmcv has no ready wheel for this torch, so unless pip has kept one from before its C++ operators'
    echo '  are compiled here: about 8 minutes on 2 cores.'
    step 'mmcv' env MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$(nproc)}" "$ENV_PYTHON" -m pip install \
        --disable-pip-version-check -c requirements.txt --no-build-isolation "$(range_of mmcv)"
}

# On a machine without a desktop, the usual OpenCV lacks libraries such as libGL.
adapt_to_headless() {
    if ! "$ENV_PYTHON" -c 'import cv2' 2> /dev/null; then
        step 'OpenCV without windows (no libGL here)' headless_opencv
    fi
}

headless_opencv() {
    "$ENV_PYTHON" -m pip uninstall -y opencv-python opencv-python-headless
    pip_install opencv-python-headless
}

main() {
    if is_complete; then
        return
    fi
    local python
    if [[ -x $ENV_PYTHON ]]; then
        python=$(find_python "$ENV_PYTHON")
    elif [[ -n "${PYTHON:-}" ]]; then
        python=$(find_python "$PYTHON")
    else
        python=$(find_python python3.11 python3 python)
    fi
    check_system "$python"
    echo "Installing into $ENVIRONMENT ($("$python" --version)); needs 4 GB of disk"
    [[ -x $ENV_PYTHON ]] || "$python" -m venv "$ENVIRONMENT"
    check_torch
    rm -f "$STAMP"
    export TMPDIR=$ENVIRONMENT/tmp
    rm -rf "$TMPDIR" && mkdir -p "$TMPDIR"
    has torch || step "$TORCH" pip_install "$TORCH"
    step 'NumPy and tools to build with' pip_install "$(range_of numpy)" -r requirements/build.txt
    has mmcv || install_mmcv
    step 'mmdet3d and the other requirements' pip_install -r requirements.txt \
        -r requirements/optional.txt -r requirements/depth.txt -r requirements/las.txt -r requirements/tests.txt
    step 'simipu itself' "$ENV_PYTHON" -m pip install --disable-pip-version-check --no-deps \
        --no-build-isolation -e .
    adapt_to_headless
    step 'checking that it can be imported' "$ENV_PYTHON" -c 'import mmcv.ops, simipu'
    rm -rf "$TMPDIR"
    fingerprint > "$STAMP"
    echo "[$(date +%T)] installed; for your own commands: source $ENVIRONMENT/bin/activate"
}

main
