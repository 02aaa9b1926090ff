"""Whether a value of a config can be of the type that an argument is annotated with."""
import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from torch import Tensor

_NUMBERS = {int, float, bool, type(None), Tensor}


def could_be(annotation: Any, value: Any) -> bool:
    """Only what is certain is denied: numbers, texts and containers of a config in the place of one another.

    A dict may become any object, since configs describe objects so, and a list a tuple.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(could_be(member, value) for member in inner)
    if origin is Literal:
        return value in inner
    kind = origin or annotation
    if annotation is None or kind is type(None):
        return value is None
    if annotation is Any or not inspect.isclass(kind):
        return True
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind in (int, float):
        return _could_be_number(kind, value)
    if kind is not Mapping and issubclass(kind, list | tuple) or kind is Sequence:
        return isinstance(value, list | tuple) and _elements_could_be(inner, value, kind is tuple)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    return kind is object or not isinstance(value, bool | int | float | bytes | None)


def is_text_for_a_number(annotation: Any, value: Any) -> bool:
    """Whether an argument takes numbers alone, and the value is a text."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation, )
    return isinstance(value, str) and set(members) <= _NUMBERS


def described(annotation: Any) -> str:
    """As a reader would write it: ``int``, ``float | None``."""
    return annotation.__name__ if inspect.isclass(annotation) and not get_args(annotation) else (
        str(annotation).replace('typing.', '').replace('collections.abc.', ''))


def _could_be_number(kind: type, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return kind is float or value == value // 1  # 1e5 is a whole number, too


def _elements_could_be(annotations: tuple, values: Sequence, of_fixed_length: bool) -> bool:
    if of_fixed_length and annotations and annotations[-1] is not Ellipsis:
        return len(annotations) == len(values) and all(map(could_be, annotations, values))
    return not annotations or all(could_be(annotations[0], value) for value in values)
