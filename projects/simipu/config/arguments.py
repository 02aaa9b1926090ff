"""Which keyword arguments a class or function takes, and of which types."""
import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from torch import nn


def accepted_arguments(kind: Any) -> list[str] | None:
    """Names that a class (or function) takes as keyword arguments; ``None`` if they are unknown.

    ``**kwargs`` that a constructor hands to ``super().__init__`` stand for its base class's arguments.
    """
    parameters = _parameters(kind)
    return None if parameters is None else list(parameters)


def argument_types(kind: Any) -> dict[str, Any]:
    """Annotations of the keyword arguments of a class (or function), as far as they can be evaluated."""
    return {name: item.annotation for name, item in _known_parameters(kind).items()
            if item.annotation is not item.empty and not isinstance(item.annotation, str)}


def default_values(kind: Any) -> dict[str, Any]:
    """Of those keyword arguments of a class (or function) that can be left out."""
    return {name: item.default for name, item in _known_parameters(kind).items() if item.default is not item.empty}


def named_arguments(kind: Any) -> list[str]:
    """Names of those keyword arguments that a class (or function) names, whatever it takes besides."""
    return list(_known_parameters(kind))


def _known_parameters(kind: Any) -> Mapping[str, inspect.Parameter]:
    """Those that are named, also of a class that takes any further ones."""
    parameters = _parameters(kind)
    return inspect.signature(kind).parameters if parameters is None else parameters


def _parameters(kind: Any) -> dict[str, inspect.Parameter] | None:
    if not inspect.isclass(kind):
        return _function_parameters(kind)
    found = {}
    for base in kind.__mro__:
        if '__init__' not in vars(base):
            continue
        if base in (nn.Module, object):
            break
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        for item in parameters:
            if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY):
                found.setdefault(item.name, item)
        rest = [item.name for item in parameters if item.kind is item.VAR_KEYWORD]
        if not rest:
            break
        if not _only_passed_to_super(base.__init__, rest[0]):
            return None
    return found


def _function_parameters(function: Any) -> dict[str, inspect.Parameter] | None:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return None
    return dict(parameters)


def _only_passed_to_super(constructor: Any, kwargs: str) -> bool:
    """Whether the one use of ``**kwargs`` in a constructor is ``super().__init__(..., **kwargs)``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(constructor)))
    except (OSError, TypeError, SyntaxError):
        return False
    uses = sum(isinstance(node, ast.Name) and node.id == kwargs for node in ast.walk(tree))
    passed = sum(isinstance(node, ast.Call) and 'super(' in ast.unparse(node.func)
                 and any(word.arg is None and ast.unparse(word.value) == kwargs
                         for word in node.keywords) for node in ast.walk(tree))
    return uses == passed == 1
