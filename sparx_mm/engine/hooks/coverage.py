"""A check that a whole model gets its backbones' weights from a file."""

import re
from collections import OrderedDict

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ...backbones import Backbone
from ...backbones.pretrained import dotted, split_init_cfg
from ...state_dicts import (
    LAST_LAYERS,
    CoverageError,
    find_prefixes,
    find_weights,
    fit,
    match,
    nest_model,
    require_finite,
    strip_prefix,
)
from ..models import checkpoint_source, find_backbones, rename_backbones, unwrap
from ..whole_load import is_tested, require_whole


@HOOKS.register_module()
class CoverageHook(Hook):
    """Hold a checkpoint to the model's backbones before it is loaded.

    A backbone must get all tensors that it and the file should share, or the load is
    an error that says what to do. For the rest of a model that is trained, for example
    a head of another number of classes, one line says what was not loaded. A model
    that is tested must get all of its weights. A model without a backbone of this
    package is left to mmengine.
    """

    # before EMAHook, which takes the same weights
    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Check the files that a whole model is initialised from.

        A backbone checks its own ``init_cfg``; this checks those of the modules
        around it, before mmengine loads them.

        Args:
            runner (Runner): The runner.

        Raises:
            CoverageError: If a backbone is not covered.
        """
        for module in unwrap(runner.model).modules():
            _, files = split_init_cfg(getattr(module, 'init_cfg', None))
            backbones = files and find_backbones(module)
            if not backbones or isinstance(module, Backbone):
                continue
            for cfg in files:
                source, prefix = cfg['checkpoint'], dotted(cfg.get('prefix'))
                file = CheckpointLoader.load_checkpoint(source, map_location='cpu')
                file = _nest(find_weights(file), module, backbones)
                _check(file, backbones, source, prefix)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the weights and replace them by those that fit.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): Content of the file; ``state_dict`` is replaced by
                one that has all of the model's names, with the model's own
                tensors where the file has none that fits. mmengine then has
                nothing to warn of.

        Raises:
            CoverageError: If a backbone is not covered, if a tensor that
                would be loaded has NaN, or if a run that is resumed or a
                model that is tested would not get all of its weights.
        """
        model = unwrap(runner.model)
        backbones = find_backbones(model)
        if not backbones:
            return
        source = checkpoint_source(runner)
        if isinstance(runner.model, FullyShardedDataParallel):
            # a process has a part of each tensor, and no shape to compare
            runner.logger.warning(f'{source}: not held to the model, which FSDP shards')
            return
        weights, report = _complete(
            model, backbones, source, checkpoint.get('state_dict', checkpoint), runner._resume
        )
        if is_tested(runner):
            require_whole(model, report, source, checkpoint)
        text = f'{source}: {report}'
        if not runner._resume:
            # a new average begins with the loaded one; mmpretrain's EMAHook would
            # look for all of the model's names in the old one
            checkpoint.pop('ema_state_dict', None)
        if 'ema_state_dict' in checkpoint:
            # mmengine keeps the averaged weights in state_dict and the trained
            # ones here, named as in the wrapper
            ema = checkpoint['ema_state_dict']
            trained, _ = _complete(model, backbones, source, strip_prefix(ema, 'module.'), True)
            if any(isinstance(hook, EMAHook) for hook in runner.hooks):
                rest = {k: v for k, v in ema.items() if 'module.' not in k}
                trained = {f'module.{k}': v for k, v in trained.items()}
                checkpoint['ema_state_dict'] = {**rest, **trained}
            else:
                weights = trained
                text += (
                    '; they are those that were trained, not their average: this run has no EMAHook'
                )
        checkpoint['state_dict'] = weights
        runner.logger.info(text)


def load_whole(model: nn.Module, checkpoint: dict, source: str) -> str:
    """Give a model that is used without a Runner all of its weights, or none.

    Args:
        model (nn.Module): The model, of this package's backbones or others.
        checkpoint (dict): Content of the file.
        source (str): The file, for the message.

    Returns:
        str: One line about what was loaded.

    Raises:
        CoverageError: If a tensor that a test runs with is missing, of another shape, or NaN.
    """
    backbones = find_backbones(model)
    file = checkpoint.get('state_dict', checkpoint)
    weights, report = _complete(model, backbones, source, file, False)
    require_whole(model, report, source, checkpoint)
    model.load_state_dict(weights)
    return f'{source}: {report}'


def _check(file, backbones, source, outer=''):
    """Raise unless a file covers each backbone."""
    for prefix, backbone in backbones.items():
        # mmdet builds both from model.detector
        part = re.sub(r'^(student|teacher)\.', 'detector.', prefix)
        key = f'model.{part}init_cfg' if part else 'init_cfg'
        hint = (
            f"a checkpoint of a whole model has it under '{prefix}'; to start "
            f'from the backbone alone, give {key}=dict('
            "type='Pretrained', checkpoint=FILE, prefix={})"
        )
        try:
            fit(
                backbone.state_dict(),
                file,
                backbone.key_map,
                outer + prefix,
                backbone.arch_zoo,
                hint,
            )
        except CoverageError as error:
            raise CoverageError(f'{source}: {error}') from error


def _complete(model, backbones, source, state_dict, resume):
    """Return all of a model's names with a file's tensors, and a report about them."""
    own = model.state_dict()
    file = _nest(_rebase(state_dict, backbones), model, backbones)
    _check(file, backbones, source)
    # an optimizer's moments are not resized with a table
    report = match(own, rename_backbones(file, backbones), resize=not resume)
    try:
        require_finite(report)
    except CoverageError as error:
        raise CoverageError(f'{source}: {error}') from error
    if resume and (report.missing or report.reshaped):
        raise CoverageError(f'it cannot be resumed: {source}: {report}')
    weights = OrderedDict((k, report.weights.get(k, v)) for k, v in own.items())
    weights._metadata = getattr(state_dict, '_metadata', OrderedDict())
    return weights, report


def _rebase(state_dict, backbones):
    """Drop the prefix that a whole model has in a file, or add those that it has in the model."""
    found, wanted = find_prefixes(state_dict), list(backbones)
    if len(found) != 1 or not wanted:
        return state_dict
    (start,) = found
    if start and all(prefix.endswith(f'.{start}') for prefix in wanted):
        # as mmdet starts the student and the teacher of a detector from one file
        outers = [prefix.removesuffix(start) for prefix in wanted]
        return {outer + name: value for outer in outers for name, value in state_dict.items()}
    if len(wanted) == 1 and wanted[0] and start != wanted[0] and start.endswith(wanted[0]):
        return strip_prefix(state_dict, start.removesuffix(wanted[0]))
    return state_dict


def _nest(state_dict, model, backbones):
    """Name a model that was released whole as mmpretrain or mmseg does, if this is one."""
    own, last = {name for name, _ in model.named_parameters()}, tuple(LAST_LAYERS.values())
    for backbone in backbones.values():
        nested = nest_model(state_dict, backbone.key_map)
        if any(name in own and name.startswith(last) for name in nested):
            state_dict = nested
    return state_dict
