"""docs/pictures/layout.svg: a package imports only from its own row and the rows below."""
import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / 'projects/simipu'
# From the bottom.
ROWS = (
    {'geometry', 'ops', 'jit', 'seeding', 'errors', 'files', 'compat', 'versions', 'parallel', 'progress'},
    {'config', 'checkpoints', 'building'},
    {'models', 'datasets', 'scenes', 'engine', 'downstream'},
    {'evaluation', 'visualization'},
    {'cli'},
)
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}


def parts_imported(path: Path) -> Iterator[str]:
    """Names of the parts of the package that a file imports relatively."""
    folder = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = folder[:len(folder) - node.level + 1]
            module = (*start, *(node.module or '').split('.')) if node.module else start
            yield from [module[0]] if module else [alias.name for alias in node.names]


def test_packages_import_only_from_their_row_and_below():
    upwards = [f'{path.relative_to(PACKAGE)} imports {part}'
               for path in sorted(PACKAGE.rglob('*.py'))
               if (own := path.relative_to(PACKAGE).parts[0].removesuffix('.py')) in ROW_OF
               for part in parts_imported(path) if ROW_OF.get(part, -1) > ROW_OF[own]]
    assert upwards == []


def test_every_package_has_a_row():
    packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert packages <= set(ROW_OF)
