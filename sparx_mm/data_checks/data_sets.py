"""Data sets that a config names, and facts about them without building them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import DATASETS, Registry

from ..config_nodes import walk
from ..errors import UserError


class SetFacts(NamedTuple):
    """Facts about a data set that do not depend on the format of its files.

    Args:
        root (str): Folder that its paths are relative to; ``''`` if it has none.
        classes (Sequence[str], optional): Class names, given or those of its type.
        trains (bool): True if it is part of the training data.
        alone (bool): True if it is not one of several that are concatenated.
    """

    root: str
    classes: Sequence[str] | None
    trains: bool
    alone: bool


def find_data_sets(cfg: Config, split: str) -> Iterator[tuple[str, dict]]:
    """Yield key and config of each data set that names files or folders.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
    """
    loader = f'{split}_dataloader'
    for key, node in walk(cfg.get(loader) or {}, loader):
        if {'ann_file', 'data_prefix', 'data_root', 'split'} & set(node):
            yield key, node


def is_remote(node: dict) -> bool:
    """Return True if the files of a data set or metric are on remote storage.

    Args:
        node (dict): Its config.
    """
    backend = (node.get('backend_args') or {}).get('backend', 'local')
    prefix = node.get('data_prefix')
    prefixes = prefix.values() if isinstance(prefix, dict) else [prefix]
    paths = [node.get('data_root'), node.get('ann_file'), *prefixes]
    return backend != 'local' or any('://' in str(path) for path in paths)


def find_class(node: dict, scope: str | None, registry: Registry = DATASETS) -> type | None:
    """Find the class that a config names, without building it.

    Args:
        node (dict): Config of a data set, or of a part of another registry.
        scope (str, optional): Library that defines its type.
        registry (Registry): mmengine's registry of such parts. Default: that
            of data sets.

    Returns:
        type or None: The class; None if it is not registered, which the run
        reports when it builds it.
    """
    kind = node.get('type')
    if not isinstance(kind, str):
        return kind if isinstance(kind, type) else None
    with registry.switch_scope_and_registry(scope) as own:
        try:
            return own.get(kind)
        except (ImportError, KeyError):
            return None


def inherits(
    node: dict, scope: str | None, base: str, names: Sequence[str] = ('load_data_list',)
) -> type | None:
    """Return the class of a data set if it takes some attributes from a base.

    Args:
        node (dict): Config of a data set.
        scope (str, optional): Library that defines its type.
        base (str): Full name of the base, whose module is not imported.
        names (Sequence[str]): Attributes that have to be the base's own.
            Default: ``('load_data_list',)``, by which the set reads its files.

    Returns:
        type or None: The class; None if it is another, or has its own of them.
    """
    cls = find_class(node, scope)
    for parent in getattr(cls, '__mro__', ()):
        if f'{parent.__module__}.{parent.__qualname__}' == base:
            own = all(getattr(cls, name) is getattr(parent, name) for name in names)
            return cls if own else None
    return None


def find_facts(
    key: str,
    node: dict,
    scope: str | None,
    base: str,
    names: Sequence[str] = ('load_data_list',),
) -> SetFacts | None:
    """Read the config of a data set that takes its reading from a base.

    Args:
        key (str): Key of ``node`` in the whole config.
        node (dict): Config of a data set.
        scope (str, optional): Library that defines its type.
        base (str): See `inherits`.
        names (Sequence[str]): See `inherits`. Default: ``('load_data_list',)``.

    Returns:
        SetFacts or None: None for a set that reads its files in another way.
    """
    cls = inherits(node, scope, base, names)
    if cls is None:
        return None
    return SetFacts(
        root=node.get('data_root') or '',
        classes=metainfo_of(cls, node).get('classes'),
        trains=key.startswith('train') and not node.get('test_mode'),
        alone=is_alone(key),
    )


def is_alone(key: str) -> bool:
    """Return True if a data set is not one of several that are concatenated.

    Args:
        key (str): Key of its config.
    """
    return '.datasets.' not in key


def metainfo_of(cls: type, node: dict) -> dict:
    """Return the ``metainfo`` that a set of mmengine's ``BaseDataset`` will have.

    Args:
        cls (type): Its class.
        node (dict): Its config.

    Raises:
        UserError: If the config's ``metainfo`` is not a dict.
    """
    given = node.get('metainfo') or {}
    if not isinstance(given, dict):
        raise UserError(
            f'metainfo of {cls.__name__} must be a dict, such as dict(classes=(...)), got {given!r}'
        )
    names = given.get('classes')
    # as mmengine does, but without its warning for a text that is no file
    if isinstance(names, str):
        try:
            return cls._load_metainfo({'classes': names})
        except Exception:
            return dict(cls.METAINFO, classes=names)
    return {**cls.METAINFO, **given}
