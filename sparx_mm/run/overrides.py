"""The warnings about overrides that change nothing."""

import difflib
import inspect
import sys
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

# keys that a run reads, beside the arguments of a Runner
READ = {
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'data_source',
    'default_scope',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'skip_broken',
    'strategy',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}
# keys of OpenMMLab's older versions, and what took their places
MOVED = dict(
    checkpoint_config='default_hooks.checkpoint',
    data='train_dataloader',
    evaluation='val_evaluator or train_cfg.val_interval',
    fp16='--amp',
    log_config='default_hooks.logger',
    lr_config='param_scheduler',
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper',
    resume_from='--resume',
    runner='train_cfg',
    seed='randomness.seed',
    total_epochs='train_cfg.max_epochs',
)
# more copies are not listed
MAX_COPIES = 3


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Override keys of a config, and warn of those that change nothing.

    A variable such as ``train_pipeline`` is copied into the loaders when the file is
    read, so that only its copies count.

    Args:
        cfg (Config): A whole config; it is changed.
        options (dict): Values by dotted key.
    """
    before = deepcopy(cfg.to_dict())
    cfg.merge_from_dict(options)
    read = READ | set(inspect.signature(Runner.__init__).parameters)
    for option in options:
        name, _, rest = option.partition('.')
        if name in read:
            continue
        if name not in before:
            known = MOVED.get(name) or next(
                iter(difflib.get_close_matches(name, read | set(before), 1)), None
            )
            print(
                f'warning: {option} changes nothing, unless code of your own reads it: the config '
                f'has no {name}' + (f'; did you mean {known}?' if known else ''),
                file=sys.stderr,
            )
            continue
        copies = [key for key in _copies(before, name, read) if not _is_given(key, options)]
        if copies:
            more = len(copies) - MAX_COPIES
            keys = [f'{key}.{rest}' if rest else key for key in copies[:MAX_COPIES]]
            print(
                f'warning: {option} changes nothing, because what uses {name} has a copy of its '
                f'own: give {", ".join(keys)}' + (f' and {more} more' if more > 0 else ''),
                file=sys.stderr,
            )


def _copies(cfg: dict, name: str, read: set[str]) -> Iterator[str]:
    """Yield the keys that a run reads and that have a variable's value."""
    value = cfg[name]
    # a number may have the same value by chance
    by_name = not isinstance(value, (str, list, tuple, dict)) or not value
    for top in cfg:
        if top in read:
            for key, other in _items(cfg[top], top):
                if type(other) is type(value) and other == value:
                    if not by_name or key.rpartition('.')[2] == name:
                        yield key


def _items(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, node
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    else:
        return
    for key, value in items:
        yield from _items(value, f'{path}.{key}')


def _is_given(key: str, options: dict) -> bool:
    return any(key == given or given.startswith(f'{key}.') for given in options)
