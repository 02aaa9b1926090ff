"""What a checkpoint says about how its backbone was trained: kind, style, image normalisation.

Tensors alone do not show whether a ResNet is caffe-style or pytorch-style, or whether its input is BGR or RGB.
MMEngine keeps the training config as text in ``meta['cfg']``; it is parsed here as data and never
executed.
"""
import ast
from typing import Any

_BACKBONE_FIELDS = ('type', 'depth', 'style')
_IMAGE_FIELDS = ('mean', 'std', 'bgr_to_rgb')


def pretraining_facts(meta: dict) -> dict:
    """The fields of ``backbone`` and ``data_preprocessor`` that decide what the features are.

    Args:
        meta: The ``meta`` dict of a training checkpoint, or of a file of ``export_backbone``.

    Returns:
        ``{'backbone': {type, depth, style}, 'data_preprocessor': {mean, std, bgr_to_rgb}}``, less
        what is not known.
    """
    if 'backbone' in meta or 'data_preprocessor' in meta:
        return {name: meta[name] for name in ('backbone', 'data_preprocessor') if isinstance(meta.get(name), dict)}
    model = _model_config(meta.get('cfg'))
    backbone = _chosen(model.get('img_backbone'), _BACKBONE_FIELDS)
    image = _chosen(model.get('data_preprocessor'), _IMAGE_FIELDS)
    return {name: value for name, value in
            dict(backbone=backbone, data_preprocessor=image).items() if value}


def _chosen(config: Any, fields: tuple[str, ...]) -> dict:
    if not isinstance(config, dict):
        return {}
    return {name: config[name] for name in fields if name in config}


def _model_config(text: Any) -> dict:
    """The value of ``model = dict(...)`` in the text of a config; empty where there is none."""
    if not isinstance(text, str):
        return {}
    try:
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == 'model':
                model = _literal(statement.value)
                return model if isinstance(model, dict) else {}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # no text of a config
        pass
    return {}


def _literal(node: ast.expr) -> Any:
    """Value of a literal, ``dict(a=1)`` being one; ``None`` for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _literal(value)
                for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
