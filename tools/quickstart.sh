#!/usr/bin/env bash
# The whole job in miniature, on a CPU: generates scenes, pre-trains on them, measures the backbone
# before and after, exports it and loads it into an mmdet3d detector.
#
#   bash tools/quickstart.sh [FOLDER]      (default: work_dirs/quickstart)
#
# Installs first, if that is not done yet (see tools/install.sh); then takes about eight minutes on two cores.
# Run again, it makes use of what is in the folder already.
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUT=$(realpath -m "${1:-$PROJECT/work_dirs/quickstart}")
bash "$PROJECT/tools/install.sh"
source "$(realpath -m "${SIMIPU_ENV:-$PROJECT/.venv}")/bin/activate"
cd "$PROJECT"
export PYTHONWARNINGS=ignore

CONFIG=configs/simipu_synthetic.py
DETECTOR=configs/downstream/fcos3d_r18_simipu_nus-mono3d.py
DATA=(--data-root "$OUT/data")

step() { echo; echo "[$(date +%T)] $*"; }
# Of MMEngine's long output, what happens as it happens; all of it is in the folder's log files.
progress() { { grep --line-buffered -E 'Iter\((train|val|test)\)' || true; } | sed -u -E 's/ - mmengine - INFO -//; s/base_lr.*eta/eta/'; }

step '1/6 generating 1200 frames of camera and LiDAR'
python tools/create_data.py synthetic --out-dir "$OUT/data" --num-frames 1200 --seed 0

step '2/6 measuring the untrained backbone'
python tools/test.py $CONFIG --work-dir "$OUT/before" --out "$OUT/before.json" "${DATA[@]}" | progress

step '3/6 pre-training, 500 iterations (the first is slow: point operations are compiled)'
python tools/train.py $CONFIG --work-dir "$OUT/train" --resume "${DATA[@]}" | progress

step '4/6 measuring the pre-trained backbone'
python tools/test.py $CONFIG "$(cat "$OUT/train/last_checkpoint")" --work-dir "$OUT/after" \
    --out "$OUT/after.json" "${DATA[@]}" | progress

step '5/6 exporting the backbone and loading it into FCOS3D'
python tools/export_backbone.py "$(cat "$OUT/train/last_checkpoint")" "$OUT/backbone.pth"
python tools/verify_pretrained.py $DETECTOR "$OUT/backbone.pth"

step '6/6 pictures'
python tools/browse_dataset.py $CONFIG --out "$OUT/frames.png" "${DATA[@]}"
python tools/visualize.py $CONFIG "$(cat "$OUT/train/last_checkpoint")" --out-dir "$OUT/pictures" "${DATA[@]}"

step 'before and after pre-training, on frames it has not seen'
python tools/compare_metrics.py "$OUT/before.json" "$OUT/after.json"
