"""Data sets that a config names, facts about them, and lists of names in messages."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from mmengine.config import Config
from mmengine.registry import DATASETS, Registry

from ..config_nodes import walk
from ..errors import UserError

# names in a line
MAX_NAMES = 20


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
    paths = [node.get('data_root'), node.get('ann_file')]
    return backend != 'local' or any('://' in path for path in paths if path)


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


def base_named(cls: type | None, module: str, name: str) -> type | None:
    """Return the base of a class with a name, without importing its module.

    Args:
        cls (type, optional): The class.
        module (str): Module of the base.
        name (str): Name of the base.

    Returns:
        type or None: The base or the class itself; None if there is none.
    """
    for base in getattr(cls, '__mro__', ()):
        if (base.__module__, base.__name__) == (module, name):
            return base
    return None


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


def closest(name: str, names: Sequence[str]) -> str | None:
    """Return the name that another was probably meant to be.

    Args:
        name (str): A name that is none of ``names``.
        names (Sequence[str]): Names that there are.

    Returns:
        str or None: One that differs in letter case or a few letters; None if
        there is none.
    """
    lower = {other.lower(): other for other in names}
    near = get_close_matches(name.lower(), lower, 1, 0.7)
    return lower[near[0]] if near else None


def quote_names(names: Sequence[str]) -> str:
    """Write names as a tuple, the first of them if there are many.

    Args:
        names (Sequence[str]): The names.
    """
    shown = ', '.join(repr(name) for name in names[:MAX_NAMES])
    return f'({shown}{", ..." if len(names) > MAX_NAMES else "," * (len(names) == 1)})'
