"""The registry of what backbones are built of, in a scope of its own.

Parts register here alone: another library's ``MLP`` or ``PatchEmbed`` never
takes the place of ours, whatever the default scope. Backbones and necks
register in mmengine's root as well, where any library finds them unscoped.
"""

import inspect
from collections.abc import Callable

from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope, Registry
from torch import nn

from .errors import ConfigError

MODELS = Registry('model', parent=ROOT, scope='sparx_mm')
# what a constructor raises for an option of a wrong value
BUILD_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def register_for_all(cls: type) -> type:
    """Register a class in this scope and in mmengine's root; a decorator.

    Args:
        cls (type): A backbone, neck or head.

    Returns:
        type: The class itself.
    """
    MODELS.register_module(module=cls)
    ROOT.register_module(module=cls)
    return cls


def build_part(cfg: dict, what: str, **given) -> nn.Module:
    """Build a part of a backbone from its config.

    Args:
        cfg (dict): ``type`` and the part's own options. A name is looked up in
            this scope, in mmengine's root, then in the current default scope;
            ``'scope.Name'`` and a class are taken as they are.
        what (str): What the part is, for messages: ``'mixer'``.
        **given: Arguments that the part must take, such as ``dim``.

    Returns:
        nn.Module: The part.

    Raises:
        ConfigError: If the type is unknown, if an option is unknown, missing or of
            a value that the part cannot be built with.
    """
    options = dict(cfg)
    kind = options.pop('type', None)
    cls = find_part(kind)
    if cls is None:
        raise ConfigError(
            f'{what} needs a type that is registered, got {kind!r}: give one of '
            f'{_similar(what)}, SCOPE.NAME of another registry, or a class'
        )
    name = getattr(cls, '__name__', str(cls))
    clash = sorted(set(options) & set(given))
    if clash:
        raise ConfigError(f'{what} {name} gets {clash} from the backbone: leave them out')
    parameters = inspect.signature(cls).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    options.update(given)
    unknown = [key for key in options if key not in parameters and not takes_all]
    if unknown:
        raise ConfigError(f'{what} {name} takes no {unknown}: it takes {sorted(parameters)}')
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and key not in options
    ]
    if missing:
        raise ConfigError(f'{what} {name} needs {missing}: give them in its config')
    for key, value in options.items():
        is_switch = key in parameters and isinstance(parameters[key].default, bool)
        if is_switch and isinstance(value, (dict, list, str, tuple)):
            raise ConfigError(
                f'{key} of {what} {name} must be True or False, got {value!r}: in an arch, give a '
                'sequence with one for each stage, or dict(alternate=(False, True)) for the layers '
                'of a stage in turn'
            )
    try:
        return cls(**options)
    except ConfigError:
        raise
    except BUILD_ERRORS as e:
        own = {key: value for key, value in options.items() if key not in given}
        raise ConfigError(f'{what} {name} cannot be built with {own}: {e}') from e


def _similar(what):
    """List the parts of a kind that are registered here, by their folder."""
    folders = {'mixer': 'mixers', 'aggregator': 'aggregators'}
    package = f'{__package__}.{folders.get(what, "layers")}.'
    return sorted(n for n, c in MODELS.module_dict.items() if c.__module__.startswith(package))


def takes_option(cfg: dict, option: str) -> bool:
    """Return True if a part names an option among its arguments.

    Args:
        cfg (dict): Config of the part.
        option (str): Name of the argument.

    Returns:
        bool: False too if the part's type is unknown.
    """
    cls = find_part(cfg.get('type'))
    return cls is not None and option in inspect.signature(cls).parameters


def find_part(kind: str | type | None) -> Callable | None:
    """Find a part's class, see `build_part`; None if there is none."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    cls = MODELS.get(kind)
    scope = DefaultScope.get_current_instance()
    if cls is None and scope is not None and '.' not in kind:
        cls = MODELS.get(f'{scope.scope_name}.{kind}')
    return cls
