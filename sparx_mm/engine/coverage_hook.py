"""Weights that load, or say why not, in a whole model."""
from collections import OrderedDict
from typing import Dict, List

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader
from torch import nn

from ..backbones import SparXBackbone
from ..backbones.pretrained import dotted, split_init_cfg
from ..weights import (CoverageError, find_weights, fit_backbone,
                       rename_released, summarize)


@HOOKS.register_module()
class CoverageHook(Hook):
    """Hold a checkpoint to the model's SparX backbones before it is loaded.

    A backbone must get all that it and the file should share, or the load is
    an error that says what to do. For the rest of the model, a head of
    another number of classes among it, one line says what was not loaded. A
    model without a SparX backbone is left to mmengine.
    """

    # before EMAHook, which takes the same weights
    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Check the files that a whole model is initialised from.

        A backbone checks its own ``init_cfg``; here are those of what it is
        a part of, before mmengine loads them.

        Raises:
            CoverageError: If a backbone is not covered.
        """
        for module in unwrap(runner.model).modules():
            _, files = split_init_cfg(getattr(module, 'init_cfg', None))
            backbones = files and find_backbones(module)
            if not backbones or isinstance(module, SparXBackbone):
                continue
            for cfg in files:
                source, prefix = cfg['checkpoint'], dotted(cfg.get('prefix'))
                file = CheckpointLoader.load_checkpoint(
                    source, map_location='cpu')
                _check(find_weights(file), backbones, source, prefix)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the weights and put just what fits in their place.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read; ``state_dict`` is replaced by
                one that has all of the model's names, with the model's own
                tensors where the file has none that fits. mmengine then has
                nothing to warn of.

        Raises:
            CoverageError: If a backbone is not covered, or if a tensor that
                would be loaded has NaN.
        """
        model = unwrap(runner.model)
        backbones = find_backbones(model)
        if not backbones:
            return
        source = runner._load_from or f'the last one in {runner.work_dir}'
        state_dict = checkpoint.get('state_dict', checkpoint)
        file = rename_backbones(state_dict, backbones)
        own = model.state_dict()
        _check(file, backbones, source)
        loaded = _fitting(own, file, source)
        weights = OrderedDict((k, loaded.get(k, v)) for k, v in own.items())
        weights._metadata = getattr(state_dict, '_metadata', OrderedDict())
        checkpoint['state_dict'] = weights
        if 'ema_state_dict' in checkpoint:
            # its names begin with that of the wrapper, module.
            checkpoint['ema_state_dict'] = rename_backbones(
                checkpoint['ema_state_dict'],
                [f'module.{prefix}' for prefix in backbones])
        runner.logger.info(_summary(source, own, file, loaded))


def find_backbones(model: nn.Module) -> Dict[str, SparXBackbone]:
    """Find the SparX backbones of a model.

    Args:
        model (nn.Module): A model, or a backbone.

    Returns:
        dict[str, SparXBackbone]: Each by what its parameters' names begin
        with, ``'backbone.'`` for example, or ``''``.
    """
    return {
        f'{name}.' if name else '': module
        for name, module in model.named_modules()
        if isinstance(module, SparXBackbone)
    }


def rename_backbones(state_dict: dict, prefixes) -> dict:
    """Give backbones their own names; see `rename_released`.

    Args:
        state_dict (dict): Names and values; it is not changed.
        prefixes (Iterable[str]): What the backbones' names begin with.
    """
    for prefix in prefixes:
        state_dict = rename_released(state_dict, prefix)
    return state_dict


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside of wrappers for DDP and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _check(file, backbones, source, outer=''):
    for prefix, backbone in backbones.items():
        try:
            fit_backbone(backbone.state_dict(), file, outer + prefix,
                         backbone.arch_zoo, _elsewhere(prefix))
        except CoverageError as error:
            raise CoverageError(f'{source}: {error}') from error


def _elsewhere(prefix):
    key = f'model.{prefix}init_cfg' if prefix else 'init_cfg'
    return (f"a checkpoint of a whole model has it under '{prefix}'; to start "
            f'from the backbone alone, give {key}=dict('
            "type='Pretrained', checkpoint=FILE, prefix={})")


def _fitting(own, file, source):
    loaded = {
        name: value
        for name, value in file.items() if isinstance(value, torch.Tensor)
        and name in own and own[name].shape == value.shape
    }
    broken = [name for name, value in loaded.items() if value.isnan().any()]
    if broken:
        raise CoverageError(
            f'{source}: it has NaN in {summarize(broken)}: the training that '
            'wrote it had diverged; take an earlier one')
    return loaded


def _summary(source, own, file, loaded):

    def counted(names: List[str]) -> List[str]:
        return [name for name in names if 'num_batches_tracked' not in name]

    missing = counted([n for n in own if n not in file])
    unused = counted([n for n in file if n not in own])
    text = f'{source}: {len(loaded)} of {len(own)} tensors loaded'
    reshaped = [n for n in own if n in file and n not in loaded]
    if reshaped:
        shapes = (f'{tuple(file[reshaped[0]].shape)} instead of '
                  f'{tuple(own[reshaped[0]].shape)}')
        text += f'; of another shape: {summarize(reshaped)}, {shapes}'
    if missing:
        text += f'; not in the file: {summarize(missing)}'
    if missing or reshaped:
        text += '; these stay as they were initialised'
    if unused:
        text += f'; not used: {summarize(unused)}'
    return text
