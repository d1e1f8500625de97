"""Hook that validates on a few images before the first step of a training."""

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from copy import copy
from io import StringIO
from itertools import chain

import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import ValLoop, autocast
from mmengine.structures import BaseDataElement
from torch.utils.data import IterableDataset

from ...errors import UserError
from ..models import unwrap
from ..rehearsal.annotations_of_metrics import check_images
from ..rehearsal.lone_image import check_lone_image
from ..rehearsal.untouched import untouched

# hooks of the libraries that prepare nothing that a validation needs
_CHECKS = ('ClassNumCheckHook', 'NumClassCheckHook', 'SyncNormHook')
# what a metric raises for its settings, with any number of images
_SETTINGS = (AttributeError, ImportError, KeyError, NotImplementedError, TypeError)


@HOOKS.register_module()
class RehearsalHook(Hook):
    """Find what only the first validation would find, before the first step.

    A few images of the validation set run through their pipeline, the model and the
    metrics. ``save_best``, early stopping and learning rates that wait for a plateau
    are held to the names of the metrics, and an evaluator's annotation file to the
    images. One training image tells
    whether a batch norm could be left with a single value. Random generators, the
    model's mode, the metrics and the message hub stay as they were, and the first
    process alone rehearses.

    A validation that other hooks prepare, or a loop of its own, is not rehearsed.

    Args:
        num_images (int): Number of images, at most those of one batch. 0: no
            rehearsal. Default: 2.
    """

    priority = 'VERY_LOW'

    def __init__(self, num_images: int = 2) -> None:
        self.num_images = num_images

    def before_train(self, runner) -> None:
        """Rehearse.

        Args:
            runner (Runner): The runner; its weights are loaded.

        Raises:
            UserError: If a hook or a scheduler waits for no metric, if an evaluator has the
                annotations of other images, or if a batch norm would fail.
        """
        if not self.num_images or not is_main_process():
            return
        with untouched(unwrap(runner.model)):
            check_lone_image(runner)
            if not _is_plain(runner):
                return
            start = time.time()
            names = self._validate(runner)
        runner.logger.info(f'validation was rehearsed in {time.time() - start:.1f} s')
        if names:
            _check_names(runner, names)

    def _validate(self, runner) -> list[str] | None:
        """Validate; return the names of the metrics, None if they are unknown."""
        loop, model = runner.val_loop, unwrap(runner.model)
        loader = loop.dataloader
        if isinstance(loader.dataset, IterableDataset):
            return None
        number = min(self.num_images, loader.batch_size or 1, len(loader.dataset))
        if not number:
            return None
        batch = loader.collate_fn([loader.dataset[i] for i in range(number)])
        model.eval()
        with torch.no_grad(), autocast(enabled=loop.fp16):
            samples = model.val_step(batch)
        # models of other kinds may predict anything
        if not all(isinstance(sample, BaseDataElement) for sample in samples):
            return None
        if list(samples[-1].keys()) == ['loss']:
            samples = samples[:-1]
        if type(loop.evaluator) is not Evaluator:
            return None
        metrics = [m for m in loop.evaluator.metrics if not type(m).__name__.startswith('Dump')]
        check_images(metrics, loader.dataset, samples)
        return _evaluate(runner, metrics, [_fill(s) for s in samples], batch)


def _is_plain(runner) -> bool:
    """Return True if the first validation is the loop's and the model's work alone."""
    if runner._val_loop is None or type(runner.val_loop).run is not ValLoop.run:
        return False
    points = ('before_val', 'before_val_epoch', 'before_val_iter')
    hooks = [
        h for h in runner.hooks if not isinstance(h, EMAHook) and type(h).__name__ not in _CHECKS
    ]
    methods = [getattr(type(hook), point) for hook in hooks for point in points]
    packages = {method.__module__.partition('.')[0] for method in methods}
    return packages <= {'mmengine', __package__.partition('.')[0]}


def _evaluate(
    runner, metrics: Sequence[BaseMetric], samples: list, batch: dict
) -> list[str] | None:
    """Return the names that metrics give; None if one cannot tell from a few images."""
    names: list[str] = []
    evaluator = Evaluator(metrics)
    states = [dict(vars(metric)) for metric in metrics]
    ids = [sample.get('img_id') for sample in samples]
    try:
        for metric in metrics:
            metric.results = []
            if hasattr(metric, '_coco_api'):
                # so that only these images are evaluated, and no file is written
                vars(metric).update(img_ids=ids, outfile_prefix=None)
            if hasattr(metric, 'output_dir'):
                vars(metric).update(output_dir=None)
        evaluator.process(data_samples=samples, data_batch=batch)
        for metric in metrics:
            if type(metric).evaluate is not BaseMetric.evaluate:
                return None
            try:
                with _silence():
                    values = metric.compute_metrics(metric.results)
            except _SETTINGS:
                raise
            except Exception as error:
                # a metric may need the whole set
                kind = type(metric).__name__
                runner.logger.warning(f'{kind} gives no value for {len(ids)} images: {error!r}')
                return None
            if not values:
                return None
            names += [f'{metric.prefix}/{name}' if metric.prefix else name for name in values]
    finally:
        for metric, state in zip(metrics, states):
            vars(metric).clear()
            vars(metric).update(state)
    return names


def _silence() -> ExitStack:
    stack = ExitStack()
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    stack.callback(logging.disable, level)
    stack.enter_context(redirect_stdout(StringIO()))
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter('ignore')
    return stack


def _fill(sample):
    """Give a sample without objects one, because metrics of none have no names."""
    found = sample.get('pred_instances')
    fields = dict(found.items()) if found is not None and not len(found) else {}
    if fields and all(isinstance(value, torch.Tensor) for value in fields.values()):
        one = type(found)()
        for name, value in fields.items():
            value = value.new_ones((1, *value.shape[1:]))
            # 0 for a set of one class; some models give labels of no objects as floats
            one.set_field(value.long() * 0 if name == 'labels' else value, name)
        sample.pred_instances = one
    return sample


def _check_names(runner, names: list[str]) -> None:
    """Hold what hooks and schedulers wait for to the names of the metrics."""
    for key, wanted, hook in _waiting(runner):
        if wanted == 'auto' and hook is not None:
            _check_rule(hook, names[0])
        elif wanted not in names:
            raise UserError(f'{key} is {wanted!r}; this evaluator gives {", ".join(names)}')


def _waiting(runner) -> Iterator[tuple[str, str, CheckpointHook | None]]:
    """Yield what waits for a metric, the metric's name, and the hook if it may be any."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            for name in hook.key_indicators:
                yield 'default_hooks.checkpoint.save_best', name, hook
        elif isinstance(hook, EarlyStoppingHook):
            yield 'the monitor of EarlyStoppingHook', hook.monitor, None
    schedulers = runner.param_schedulers or []
    groups = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    for scheduler in chain(*groups):
        # mmengine's mark of those that wait for a plateau; by iterations they never step
        if getattr(scheduler, 'need_val_args', False) and scheduler.by_epoch:
            kind = type(scheduler).__name__
            yield f'the monitor of {kind} in param_scheduler', scheduler.monitor, None


def _check_rule(hook: CheckpointHook, name: str) -> None:
    """Check that mmengine knows whether more or less of the first metric is better."""
    try:
        copy(hook)._init_rule(list(hook.rules), [name])
    except ValueError as error:
        raise UserError(
            "default_hooks.checkpoint.save_best is 'auto', which takes the first metric, "
            f'{name}, and mmengine does not know whether more of it is better: give '
            f"default_hooks.checkpoint.save_best={name} and .rule='greater' or 'less'"
        ) from error
