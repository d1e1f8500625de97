"""Weights that load, or say why not, in a whole model."""

from collections import OrderedDict

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader
from torch import nn

from ...backbones import HierarchicalBackbone
from ...backbones.pretrained import dotted, split_init_cfg
from ...state_dicts import (
    CoverageError,
    find_prefixes,
    find_resized,
    find_weights,
    fit_backbone,
    fits,
    form_of,
    is_sound,
    nest_classifier,
    rename_released,
    resize_tables,
    strip_prefix,
    summarize,
)
from ..wrappers import unwrap


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
            if not backbones or isinstance(module, HierarchicalBackbone):
                continue
            for cfg in files:
                source, prefix = cfg['checkpoint'], dotted(cfg.get('prefix'))
                file = CheckpointLoader.load_checkpoint(source, map_location='cpu')
                file = _nest(find_weights(file), module.state_dict())
                _check(file, backbones, source, prefix)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the weights and put just what fits in their place.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read; ``state_dict`` is replaced by
                one that has all of the model's names, with the model's own
                tensors where the file has none that fits. mmengine then has
                nothing to warn of.

        Raises:
            CoverageError: If a backbone is not covered, if a tensor that
                would be loaded has NaN, or if a run that is resumed would
                not get all of its weights.
        """
        model = unwrap(runner.model)
        backbones = find_backbones(model)
        if not backbones:
            return
        source = checkpoint_source(runner)
        weights, text = _complete(
            model, backbones, source, checkpoint.get('state_dict', checkpoint), runner._resume
        )
        if not runner._resume:
            # what is averaged anew begins with the average; mmpretrain's
            # EMAHook would look for all of the model's names in this
            checkpoint.pop('ema_state_dict', None)
        if 'ema_state_dict' in checkpoint:
            # mmengine keeps the averaged weights in state_dict and those
            # that were trained here, named as in the wrapper
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


def find_backbones(model: nn.Module) -> dict[str, HierarchicalBackbone]:
    """Find the SparX backbones of a model.

    Args:
        model (nn.Module): A model, or a backbone.

    Returns:
        dict[str, HierarchicalBackbone]: Each by what its parameters' names begin
        with, ``'backbone.'`` for example, or ``''``.
    """
    return {
        f'{name}.' if name else '': module
        for name, module in model.named_modules()
        if isinstance(module, HierarchicalBackbone)
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


def checkpoint_source(runner) -> str:
    """What the checkpoint that a runner reads was given as."""
    return runner._load_from or f'the last one in {runner.work_dir}'


def _check(file, backbones, source, outer=''):
    for prefix, backbone in backbones.items():
        try:
            fit_backbone(
                backbone.state_dict(), file, outer + prefix, backbone.arch_zoo, _elsewhere(prefix)
            )
        except CoverageError as error:
            raise CoverageError(f'{source}: {error}') from error


def _elsewhere(prefix):
    key = f'model.{prefix}init_cfg' if prefix else 'init_cfg'
    return (
        f"a checkpoint of a whole model has it under '{prefix}'; to start "
        f'from the backbone alone, give {key}=dict('
        "type='Pretrained', checkpoint=FILE, prefix={})"
    )


def _complete(model, backbones, source, state_dict, all_of_it):
    """All of a model's names with a file's tensors, and a line about them."""
    own = model.state_dict()
    file = _nest(_rebase(state_dict, backbones), own)
    file = rename_backbones(file, backbones)
    _check(file, backbones, source)
    given = file
    if not all_of_it:
        file = resize_tables(file, own)
    loaded = {
        name: file[name] for name, value in own.items() if name in file and fits(file[name], value)
    }
    broken = [n for n, value in loaded.items() if not is_sound(value, own[n])]
    if broken:
        raise CoverageError(
            f'{source}: it has NaN or infinity in {summarize(broken)}: the '
            'training that wrote it had diverged; take an earlier one'
        )
    text = _summary(source, own, file, loaded, find_resized(given, file))
    if all_of_it and any(_counts(n) for n in own if n not in loaded):
        raise CoverageError(f'it cannot be resumed: {text}')
    weights = OrderedDict((k, loaded.get(k, v)) for k, v in own.items())
    weights._metadata = getattr(state_dict, '_metadata', OrderedDict())
    return weights, text


def _rebase(state_dict, backbones):
    """Drop what the names of a whole model begin with in a file."""
    found, wanted = find_prefixes(state_dict), list(backbones)
    if len(found) == len(wanted) == 1 and found != wanted and wanted[0]:
        outer, inner, _ = found[0].rpartition(wanted[0])
        if inner and found[0] == outer + inner:
            return strip_prefix(state_dict, outer)
    return state_dict


def _nest(state_dict, own):
    """Name a released classifier as a classifier of mmpretrain."""
    is_classifier = any(name.startswith('head.fc.') for name in own)
    return nest_classifier(state_dict) if is_classifier else state_dict


def _counts(name):
    return 'num_batches_tracked' not in name


def _summary(source, own, file, loaded, resized):
    missing = [n for n in own if n not in file and _counts(n)]
    unused = [n for n in file if n not in own and _counts(n)]
    text = f'{source}: {len(loaded)} of {len(own)} tensors loaded'
    if resized:
        text += f'; resized: {summarize(resized)}'
    reshaped = [n for n in own if n in file and n not in loaded]
    if reshaped:
        shapes = f'{form_of(file[reshaped[0]])} instead of {form_of(own[reshaped[0]])}'
        text += f'; of another shape: {summarize(reshaped)}, {shapes}'
    if missing:
        text += f'; not in the file: {summarize(missing)}'
    if missing or reshaped:
        text += '; these stay as they were initialised'
    if unused:
        text += f'; not used: {summarize(unused)}'
    return text
