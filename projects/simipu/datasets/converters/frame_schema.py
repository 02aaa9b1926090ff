"""Checks a frame of a user against ``frame_schema.json``, so that the first mistake is named with its field.

Knows the keywords of JSON Schema that this file uses. A library of the kind would refuse the same frames, but
none says which known field a misspelt one is near to.
"""
import json
import operator
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files import shown
from ..readers.fields import MAX_NUMBER

SCHEMA = json.loads(Path(__file__).with_suffix('.json').read_text())
_KINDS = {'object': dict, 'array': list, 'string': str, 'integer': int, 'number': (int, float), 'boolean': bool}
_BOUNDS = {'minimum': (operator.ge, 'at least'), 'maximum': (operator.le, 'at most'),
           'exclusiveMinimum': (operator.gt, 'above'), 'exclusiveMaximum': (operator.lt, 'below')}
_UNDISTORT = ('. Images must be undistorted (cv2.undistort, cv2.fisheye.undistortImage): give the undistorted images '
              'and their cam2img')


def check_frame(frame: Any, name: str) -> None:
    """Raise a DataError, which begins with ``name``, for the first field that the schema does not allow."""
    for problem in _problems(frame, SCHEMA, ''):
        raise DataError(f'{name}: {problem}. The fields are described in docs/data_format.md')


def _problems(value: Any, schema: dict, path: str) -> Iterator[str]:
    """What is wrong at ``path``; the outermost first."""
    schema = _resolved(schema)
    kinds = schema['type'] if isinstance(schema['type'], list) else [schema['type']]
    if not any(_is_kind(value, kind) for kind in kinds):
        yield _expected(path, ' or '.join(kinds), value, schema)
    elif isinstance(value, dict):
        yield from _problems_of_object(value, schema, path)
    elif isinstance(value, list):
        if not schema['minItems'] <= len(value) <= schema['maxItems']:
            lengths = ' or '.join(map(str, dict.fromkeys((schema['minItems'], schema['maxItems']))))
            yield _expected(path, f'{lengths} items', value, schema)
        for index, item in enumerate(value):
            yield from _problems(item, schema['items'], f'{path}[{index}]')
    elif isinstance(value, str):
        # `$` of JSON Schema is the very end; in Python it also stands before a last line break.
        if len(value) < schema.get('minLength', 0) or not re.search(
                schema.get('pattern', '').replace('$', r'\Z'), value):
            yield _expected(path, f'a string {schema.get("pattern", "that is not empty")}', value, schema)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and not -MAX_NUMBER < value < MAX_NUMBER:
        yield _expected(path, f'a number below {MAX_NUMBER:g}', value, schema)
    else:
        for keyword, (holds, words) in _BOUNDS.items():
            if keyword in schema and not holds(value, schema[keyword]):
                yield _expected(path, f'a number {words} {schema[keyword]:g}', value, schema)


def _problems_of_object(value: dict, schema: dict, path: str) -> Iterator[str]:
    known = schema.get('properties', {})
    others = schema['additionalProperties']
    for key in value:
        if others is False and key not in known:
            near = get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f'; did you mean {near[0]}?' if near else f'; expected {", ".join(known)}'
            yield f'unknown field {_join(path, key)}{hint}{_UNDISTORT if "dist" in str(key).lower() else ""}'
    for key in schema.get('required', ()):
        if key not in value:
            kind = _resolved(known[key])
            yield (f'expected {_join(path, key)} ({kind["type"]}: {kind["description"]}), found '
                   f'{", ".join(value) or "nothing"}')
    if len(value) < schema.get('minProperties', 0):
        yield f'{path} is empty; expected at least one camera'
    for key, item in value.items():
        if key in known or others:
            yield from _problems(item, known.get(key, others), _join(path, key))


def _resolved(schema: dict) -> dict:
    """The schema with what its ``$ref`` stands for."""
    if '$ref' not in schema:
        return schema
    return {**SCHEMA['$defs'][schema['$ref'].rpartition('/')[2]], **schema}


def _is_kind(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == 'boolean' or not isinstance(value, bool))


def _expected(path: str, wanted: str, value: Any, schema: dict) -> str:
    meaning = f' ({schema["description"]})' if 'description' in schema else ''
    return (f'{path or "the frame"}: expected {wanted}{meaning}, found '
            f'{shown(value if not isinstance(value, str) else repr(value), 60)}')


def _join(path: str, key: str) -> str:
    return f'{path}.{key}' if path else str(key)
