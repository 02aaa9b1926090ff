#!/usr/bin/env bash
# Installs simipu and all it needs; does nothing if that is done already.
#
#   bash tools/install.sh
#
# Variables:
#   SIMIPU_ENV  folder of the virtual environment (default: .venv in this project)
#   PYTHON      the Python 3.10 to 3.13 to make it with (default: python3.11, else the first other on the PATH)
#   MMCV_WITH_OPS=0   take mmcv-lite, which has no compiled operators: enough for pre-training, not for most detectors
#
# A torch that is already in the environment is kept, whether for CPU or for CUDA, if it is one that
# requirements.txt allows; else this stops. pip reads its own variables (PIP_INDEX_URL, PIP_FIND_LINKS,
# ...), for a mirror or for wheels of torch or mmcv you have. An mmcv that is compiled here is kept in
# ~/.cache/simipu for other environments with the same torch.
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

# Whether the environment's Python is at least 3.$1.
is_python() { "$ENV_PYTHON" -c "import sys; sys.exit(sys.version_info < (3, $1))"; }

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

# The first of the given Pythons that will do.
find_python() {
    local candidate
    for candidate in "$@"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.10 to 3.13, for which all packages have wheels; not so: $*." \
        "Name one: PYTHON=/path/to/python3.11 bash tools/install.sh"
}

# One line that names every missing Debian package.
check_system() {
    local missing=() version
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$1" -c 'import ensurepip, venv' 2> /dev/null || missing+=("python$version-venv")
    "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
        || missing+=("python$version-dev")
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

pip_() { "$ENV_PYTHON" -m pip --disable-pip-version-check "$@"; }

pip_install() { pip_ install -c "$TMPDIR/constraints.txt" "$@"; }

# nuscenes-devkit asks for numpy 1, as long as there are wheels of that.
write_constraints() { { cat requirements.txt; is_python 13 || echo 'numpy<2'; } > "$TMPDIR/constraints.txt"; }

# mmcv with its compiled operators, built for the torch of this environment.
install_mmcv() {
    local build=(MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$(env -u OMP_NUM_THREADS nproc)}") wheels
    wheels=${XDG_CACHE_HOME:-$HOME/.cache}/simipu/mmcv/torch-$(version_of torch)
    if "$ENV_PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' \
            && ! command -v nvcc > /dev/null && [[ -z "${CUDA_HOME:-}" ]]; then
        echo "install: found a GPU but no CUDA compiler (nvcc, CUDA_HOME): unless pip finds a ready wheel" \
            "(PIP_FIND_LINKS), mmcv is compiled for the CPU, which is enough for pre-training; see docs/install.md" >&2
        build+=(CUDA_VISIBLE_DEVICES=)  # mmcv's setup.py insists on nvcc where it sees a GPU
        wheels+=-cpu
    fi
    ready_mmcv "$wheels" && return
    echo '  There is no ready wheel of mmcv for this torch, so its C++ operators are compiled: some minutes, once.'
    step "torch's headers" precompile_torch
    step 'mmcv' compile_mmcv "$wheels" "${build[@]}"
    ready_mmcv "$wheels" || fail "the wheel in $wheels cannot be installed; the whole output is in $LOG"
}

# A wheel of mmcv from the given folder, or from where pip looks (PIP_FIND_LINKS).
ready_mmcv() {
    mkdir -p "$1"
    step "mmcv, if there is a ready wheel" try pip_install --only-binary mmcv --find-links "$1" "$(range_of mmcv)"
    has mmcv
}

try() { "$@" || true; }

# Saves most of the time that mmcv takes to compile; it compiles without, too.
precompile_torch() { "$ENV_PYTHON" tools/precompile_torch.py "$TMPDIR" > "$TMPDIR/cflags" || true; }

# compile_mmcv FOLDER VARIABLE=VALUE...: with torch's precompiled headers, and as mmcv has it where that fails.
compile_mmcv() {
    local wheels=$1
    shift
    mmcv_wheel "$wheels" env "$@" CFLAGS="$(<"$TMPDIR/cflags")" || mmcv_wheel "$wheels" env "$@"
}

mmcv_wheel() {
    "${@:2}" "$ENV_PYTHON" -m pip wheel --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation \
        -w "$1" "$(range_of mmcv)"
}

# mmdet3d 1.4 and nuscenes-devkit 1.2 ask for numpy 1, which has no wheels from Python 3.13 on, but work with numpy 2.
install_requirements() {
    local left_out='^#' arguments=() name
    ! has mmcv-lite || left_out+='|^mmcv[<>=]'
    if is_python 13; then
        left_out+='|^mmdet3d[<>=]|^nuscenes-devkit[<>=]'
        arguments+=(-r requirements/python3.13.txt)
    fi
    grep -vE "$left_out" requirements.txt > "$TMPDIR/requirements.txt"
    for name in sparse depth las tests; do
        arguments+=(-r "requirements/$name.txt")
    done
    step 'mmdet3d and the other requirements' pip_install -r "$TMPDIR/requirements.txt" "${arguments[@]}"
    ! is_python 13 || step 'mmdet3d with numpy 2' pip_install --no-deps "$(range_of mmdet3d)" "$(range_of nuscenes-devkit)"
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
        python=$(find_python python3.11 python3 python python3.12 python3.13 python3.10)
    fi
    check_system "$python"
    echo "Installing into $ENVIRONMENT ($("$python" --version)); needs 4 GB of disk"
    [[ -x $ENV_PYTHON ]] || "$python" -m venv "$ENVIRONMENT"
    check_torch
    rm -f "$STAMP"
    export TMPDIR=$ENVIRONMENT/tmp
    rm -rf "$TMPDIR" && mkdir -p "$TMPDIR"
    write_constraints
    has torch || step "$TORCH" pip_install "$TORCH"
    step 'NumPy and tools to build with' pip_install "$(range_of numpy)" -r requirements/build.txt
    if [[ "${MMCV_WITH_OPS:-1}" == 0 ]]; then
        has mmcv || has mmcv-lite \
            || step 'mmcv without operators' pip_install "$(range_of mmcv | sed s/mmcv/mmcv-lite/)"
    else
        has mmcv || install_mmcv
    fi
    install_requirements
    step 'simipu itself' pip_ install --no-deps --no-build-isolation -e .
    adapt_to_headless
    step 'checking that it can be imported' "$ENV_PYTHON" -c 'import simipu, mmcv.ops'
    rm -rf "$TMPDIR"
    fingerprint > "$STAMP"
    echo "[$(date +%T)] installed; for your own commands: source $ENVIRONMENT/bin/activate"
}

main
