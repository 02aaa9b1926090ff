#!/usr/bin/env bash
# Prints the Python to run the tools with: of the environment that is active, else of tools/install.sh.
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]]; then
    command -v python
elif [[ -x "${SIMIPU_ENV:-$PROJECT/.venv}/bin/python" ]]; then
    echo "${SIMIPU_ENV:-$PROJECT/.venv}/bin/python"
else
    command -v python3
fi
