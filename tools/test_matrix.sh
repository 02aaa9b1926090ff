#!/usr/bin/env bash
# Tries the project in several pairs of Python and torch, one after the other, and writes a table of the results.
#
#   bash tools/test_matrix.sh [--all] [NAME...]      (default: all environments, the core tests)
#
# NAME is one of those that this prints with --list. For each it makes the environment if there is none, installs
# by tools/install.sh, imports simipu, runs 50 iterations of the quickstart's training and the tests. What is there is
# kept, so that it can be run again after a stop; results are in FOLDER/NAME/result.md and FOLDER/table.md.
#
# Variables:
#   MATRIX_DIR     FOLDER for environments and results (default: work_dirs/matrix); 5 to 8 GB for each environment
#   MATRIX_REMOVE  1 removes each environment after its run
#   MMCV_WITH_OPS  0 compiles mmcv in none of them, 1 in all (default: where the list below says so)
#   PYTHONS        folder with one folder for each Python, as pyenv makes it (default: ~/.pyenv/versions)
set -euo pipefail

# Name, Python, what is installed before tools/install.sh, and whether mmcv is compiled (see there).
ENVIRONMENTS=(
    'py311-torch2.13    3.11 torch==2.13.0         1'
    'py311-torch2.14    3.11 torch==2.14.1         0'
    'py310-torch2.1     3.10 torch==2.1.2,numpy<2  1'
    'py312-torch2.11    3.12 torch==2.11.0         1'
    'py313-torch2.14    3.13 torch==2.14.1         0'
)
# What depends on the versions of libraries: models, operators, checkpoints, workarounds, training.
CORE=(tests/test_versions.py tests/test_compat.py tests/test_geometry.py tests/test_ops
      tests/test_models/test_point_encoders_sparse.py tests/test_models/test_info_nce.py
      tests/test_models/test_simipu.py tests/test_checkpoints/test_checkpoint_reading.py
      tests/test_engine/test_finite_hook.py tests/test_engine/test_hybrid_optimizer.py tests/test_engine/test_muon.py
      tests/test_training.py)

case "${1:-}" in
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --list) printf '%s\n' "${ENVIRONMENTS[@]%% *}"; exit 0 ;;
    --all) CORE=(tests); shift ;;
esac
for name in "$@"; do
    [[ " ${ENVIRONMENTS[*]%% *} " == *" $name "* ]] \
        || { echo "test_matrix: no environment $name; there are: ${ENVIRONMENTS[*]%% *}" >&2; exit 2; }
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
FOLDER=$(realpath -m "${MATRIX_DIR:-work_dirs/matrix}")
PYTHONS=${PYTHONS:-$HOME/.pyenv/versions}
export OMP_NUM_THREADS=1

# timed FILE COMMAND...: runs it with its output in the file; prints "ok" or "FAILED", and the seconds it took.
timed() {
    local file=$1 start=$SECONDS word=ok
    shift
    "$@" > "$file" 2>&1 < /dev/null || word=FAILED
    echo "$word, $(( SECONDS - start )) s"
}

install_all() {  # FOLDER PYTHON PACKAGES WITH_OPERATORS
    local packages
    IFS=, read -ra packages <<< "$3"
    [[ -x $1/env/bin/python ]] || "$2" -m venv "$1/env"
    "$1/env/bin/python" -m pip install --no-cache-dir "${packages[@]}"
    SIMIPU_ENV=$1/env MMCV_WITH_OPS=${MMCV_WITH_OPS:-$4} bash tools/install.sh
}

pretrain() {  # FOLDER; the quickstart's training on a few of its frames
    [[ -d $1/data ]] || "$1/env/bin/python" tools/create_data.py synthetic --out-dir "$1/data" --num-frames 64 --seed 0
    PYTHONWARNINGS=ignore "$1/env/bin/python" tools/train.py configs/simipu_synthetic.py \
        --work-dir "$1/train" --data-root "$1/data" \
        --cfg-options train_cfg.max_iters=50 train_cfg.val_interval=1000 default_hooks.logger.interval=10
}

versions() {  # FOLDER
    "$1/env/bin/python" -c '
import platform
from importlib import metadata
def version(*names):
    return next((f"{name} {metadata.version(name)}" for name in names if any(metadata.distributions(name=name))), "none")
print(platform.python_version(), version("torch"), version("numpy"), version("mmcv", "mmcv-lite"),
      version("spconv-cu120", "spconv-cu126", "spconv", "spconv-triton"), sep=" | ")'
}

try_environment() {  # NAME PYTHON PACKAGES WITH_OPERATORS
    local folder=$FOLDER/$1 python installed imported='-' trained='-' tested='-'
    python=$(find "$PYTHONS" -maxdepth 1 -name "$2.*" | sort -V | tail -n 1)/bin/python
    mkdir -p "$folder"
    echo "[$(date +%T)] $1"
    installed=$(timed "$folder/install.log" install_all "$folder" "$python" "$3" "$4")
    if [[ $installed == ok* ]]; then
        imported=$(timed "$folder/import.log" "$folder/env/bin/python" -c 'import simipu.models, mmcv.ops')
        trained=$(timed "$folder/train.log" pretrain "$folder")
        tested=$(timed "$folder/tests.log" "$folder/env/bin/python" -m pytest -q -p no:cacheprovider "${CORE[@]}")
        tested+="; $(tail -n 1 "$folder/tests.log" | sed -E 's/ in [0-9].*//')"
    fi
    echo "| $1 | $(versions "$folder") | $installed | $imported | $trained | $tested |" | tee "$folder/result.md"
    [[ "${MATRIX_REMOVE:-0}" == 0 ]] || rm -rf "$folder/env"
}

for line in "${ENVIRONMENTS[@]}"; do
    read -ra words <<< "$line"
    [[ $# == 0 || " $* " == *" ${words[0]} "* ]] || continue
    [[ -s "$FOLDER/${words[0]}/result.md" ]] || try_environment "${words[@]}"
done
{
    echo "$(date +%F), $(git rev-parse --short HEAD)"
    echo
    echo '| environment | Python | torch | numpy | mmcv | spconv | install | import | 50 iterations | tests |'
    echo '|---|---|---|---|---|---|---|---|---|---|'
    cat "$FOLDER"/*/result.md
} > "$FOLDER/table.md"
cat "$FOLDER/table.md"
