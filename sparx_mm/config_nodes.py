"""Traversal of nested configs."""

from collections.abc import Iterator
from typing import Any


def walk(node: Any, path: str = '') -> Iterator[tuple[str, dict]]:
    """Yield every dict in nested dicts and lists with its dotted key.

    Args:
        node (Any): A config or a part of one.
        path (str): Dotted key of ``node`` itself. Default: ``''``.
    """
    if isinstance(node, dict):
        yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list, tuple)):
            yield from walk(value, f'{path}.{key}' if path else str(key))


def has_teacher(model: dict) -> bool:
    """Return True for the config of a classifier of ours with a teacher, which no checkpoint has.

    Args:
        model (dict): Config of a model.
    """
    return type_name(model) == 'DistilledClassifier' and bool(model.get('teacher'))


def type_name(node: dict) -> str:
    """Return the ``type`` of a config without its scope or module.

    Args:
        node (dict): A config; its type may be a class, as in mmengine's newer
            configs, or missing.
    """
    kind = node.get('type')
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]
