#!/usr/bin/env bash
# Runs the tests; installs what they need first, if that is not done yet (see tools/install.sh).
#
#   bash tools/run_tests.sh                     # all of them
#   bash tools/run_tests.sh tests/test_x.py -k name   # any arguments of pytest
#
# Two processes share the files of tests; -n 0 runs them in one, -n 4 in four (1.5 GB of memory each).
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$PROJECT/tools/install.sh"
ENVIRONMENT=$(realpath -m "${SIMIPU_ENV:-$PROJECT/.venv}")
cd "$PROJECT"
exec "$ENVIRONMENT/bin/python" -m pytest -q -n 2 --dist loadfile "$@"
