#!/usr/bin/env bash
# Builds the documentation site; a broken link or a malformed docstring fails.
#
#   bash tools/build_docs.sh [FOLDER]      (default: site; open index.html in it)
#
# The first run installs requirements/docs.txt into .venv-docs, or into the folder that SIMIPU_DOCS_ENV names; later
# runs need no network. Docstrings are read and not imported, so neither torch nor simipu has to be installed.
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SITE=$(realpath -m "${1:-$PROJECT/site}")
ENVIRONMENT=$(realpath -m "${SIMIPU_DOCS_ENV:-$PROJECT/.venv-docs}")
REQUIREMENTS=$PROJECT/requirements/docs.txt
STAMP=$ENVIRONMENT/docs_installed

fail() { echo "build_docs: $*" >&2; exit 1; }

if ! cmp -s "$REQUIREMENTS" "$STAMP"; then
    [[ -x $ENVIRONMENT/bin/python ]] || "${PYTHON:-python3}" -m venv "$ENVIRONMENT"
    "$ENVIRONMENT/bin/python" -m pip install --quiet --disable-pip-version-check -r "$REQUIREMENTS"
    cp "$REQUIREMENTS" "$STAMP"
fi

cd "$PROJECT"
export NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true
"$ENVIRONMENT/bin/mkdocs" build --strict --site-dir "$SITE"

# Readers may be offline, too: no script, style sheet, font or picture from elsewhere.
if grep -rnoE '<(script|link|img|iframe)[^>]* (src|href)="?(https?:)?//[^" >]+' --include='*.html' "$SITE" \
        | grep -v 'rel="\?canonical'; then
    fail 'the pages above load something from another site'
fi
echo "built $SITE/index.html (with a search box: python3 -m http.server -d $SITE)"
