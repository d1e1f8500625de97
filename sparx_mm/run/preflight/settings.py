"""Checks of settings of a config that contradict each other."""

from collections.abc import Iterator, Sequence

from mmengine.config import Config

from ...config_nodes import type_name, walk
from ...errors import UserError
from ...libraries import find_library

# what mmengine needs together, by what it is for
LOOPS = dict(
    train=('train_dataloader', 'train_cfg', 'optim_wrapper'),
    val=('val_dataloader', 'val_cfg', 'val_evaluator'),
    test=('test_dataloader', 'test_cfg', 'test_evaluator'),
)


def check_settings(cfg: Config, splits: Sequence[str]) -> None:
    """Check settings that contradict each other.

    Args:
        cfg (Config): A whole config.
        splits (Sequence[str]): Splits that run, any of ``'train'``, ``'val'`` and
            ``'test'``.

    Raises:
        UserError: If some do.
    """
    _check_loops(cfg, splits)
    _check_intervals(cfg, splits)
    for split in splits:
        _check_labels(cfg, split)
    _check_slide(cfg)
    _check_class_weights(cfg)
    _check_deviations(cfg)


def settle_workers(cfg: Config) -> None:
    """Drop settings of data loaders that are for worker processes, where there are none.

    torch refuses ``persistent_workers`` and ``prefetch_factor`` without workers, and
    the shipped configs have the first.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    for split in LOOPS:
        loader = cfg.get(f'{split}_dataloader') or {}
        if loader.get('num_workers', 0) == 0:
            for key in ('persistent_workers', 'prefetch_factor'):
                loader.pop(key, None)


def _check_loops(cfg: Config, splits: Sequence[str]) -> None:
    for name, keys in LOOPS.items():
        missing = [key for key in keys if cfg.get(key) is None]
        needed = name == 'train' and name in splits
        if missing and (needed or len(missing) < len(keys)):
            given = [key for key in keys if key not in missing]
            instead = '' if needed else f', or {" ".join(f"{key}=None" for key in given)}'
            contrast = f', and {_is(given)} not' if given else ''
            raise UserError(
                f'{_is(missing)} None or missing{contrast}: give {" and ".join(missing)}{instead}'
            )


def _check_intervals(cfg: Config, splits: Sequence[str]) -> None:
    """Check the numbers that mmengine first looks at when an epoch is over."""
    loop, found = cfg.get('train_cfg') or {}, {}
    if 'val' in splits:
        found = {f'train_cfg.{key}': loop.get(key, 1) for key in ('val_interval', 'val_begin')}
    if 'train' in splits:
        hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        found['default_hooks.checkpoint.interval'] = hook.get('interval', 1)
    for key, value in found.items():
        if not isinstance(value, (int, float)) or (value == 0 and key.endswith('val_interval')):
            raise UserError(f'{key} is {value!r}: give a number of epochs or iterations, from 1')


def _is(keys: Sequence[str]) -> str:
    return f'{" and ".join(keys)} {"is" if len(keys) == 1 else "are"}'


def _check_labels(cfg: Config, split: str) -> None:
    metrics = find_library(cfg).label_metrics
    loader, evaluator = f'{split}_dataloader', f'{split}_evaluator'
    dataset = (cfg.get(loader) or {}).get('dataset') or {}
    pipelines = [node['pipeline'] for _, node in walk(dataset) if node.get('pipeline')]
    types = [type_name(step) for _, step in walk(pipelines)]
    if not types or any('Annotation' in kind for kind in types):
        return
    for key, metric in walk(cfg.get(evaluator) or {}, evaluator):
        kind = type_name(metric)
        if kind in metrics and not metric.get('format_only'):
            raise UserError(
                f'{key} is {kind}, which needs label maps, and no step of the pipeline of '
                f"{loader} loads them: put dict(type='LoadAnnotations') there, or write "
                f'predictions alone with {key}.format_only=True {key}.output_dir=DIR'
            )


def _check_slide(cfg: Config) -> None:
    for key, model in walk(cfg.get('model') or {}, 'model'):
        test_cfg = model.get('test_cfg')
        if isinstance(test_cfg, dict) and test_cfg.get('mode') == 'slide':
            missing = [name for name in ('crop_size', 'stride') if test_cfg.get(name) is None]
            if missing:
                raise UserError(
                    f"{key}.test_cfg.mode is 'slide' without {' and '.join(missing)}: give "
                    f'{key}.test_cfg.crop_size=(512,512) {key}.test_cfg.stride=(341,341), '
                    "for example, or .mode='whole'"
                )


def _check_class_weights(cfg: Config) -> None:
    for key, head in walk(cfg.get('model') or {}, 'model'):
        total = head.get('num_classes')
        if total is None and 'num_things_classes' in head:
            total = head['num_things_classes'] + head.get('num_stuff_classes', 0)
        if not isinstance(total, int):
            continue
        for name, weights in _class_weights(head):
            # a background has a weight too, where there is one
            if len(weights) not in (total, total + 1):
                raise UserError(
                    f'{key}.{name}.class_weight has {len(weights)} entries and {key} has '
                    f'{total} classes: give {total}, or {total + 1} where the background or '
                    '"no object" has one too'
                )


def _check_deviations(cfg: Config) -> None:
    for key, node in walk(cfg.to_dict()):
        std = node.get('std') if key.endswith('data_preprocessor') else None
        if isinstance(std, (list, tuple)) and 0 in std:
            raise UserError(
                f'{key}.std is {std}, and pixels are divided by it: give 1 in place of 0'
            )


def _class_weights(head: dict) -> Iterator[tuple[str, Sequence[float]]]:
    for name, losses in head.items():
        if 'loss' not in name:
            continue
        several = isinstance(losses, (list, tuple))
        for i, loss in enumerate(losses if several else [losses]):
            weights = loss.get('class_weight') if isinstance(loss, dict) else None
            if isinstance(weights, (list, tuple)):
                yield (f'{name}.{i}' if several else name), weights
