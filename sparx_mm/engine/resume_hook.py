"""Optimizer state that is resumed by name.

torch numbers the parameters of an optimizer. A checkpoint whose parameters
are in another order would give each the moments of another one, without an
error. Here a checkpoint names them, and one that cannot be matched by name is
refused.
"""
from typing import Any, Dict, List

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS

from ..errors import UserError
from ..weights import summarize
from .coverage_hook import find_backbones, rename_backbones, unwrap

# what a Runner reads when it resumes; it takes a missing optimizer for a new
# one and says nothing
_NEEDED = dict(
    meta=('epoch', 'iter'),
    message_hub=('log_scalars', 'runtime_info', 'resumed_keys'),
    optimizer=())


@HOOKS.register_module()
class ResumeHook(Hook):
    """Name the parameters of a saved optimizer; match them when resuming.

    Names that the file does not give (``param_names`` of the parameter
    groups, where torch keeps them too) are those of its weights, in their
    order there: it is the order in which optimizers are built, with one group
    or one for each parameter. Names of released files are translated.
    """

    # before CoverageHook, which puts the weights in the model's order
    priority = 'HIGHEST'

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write the parameters' names beside their state."""
        if _is_single(runner.optim_wrapper) and 'optimizer' in checkpoint:
            groups = checkpoint['optimizer']['param_groups']
            names = _group_names(runner.optim_wrapper, unwrap(runner.model))
            for group, group_names in zip(groups, names):
                group['param_names'] = group_names

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put optimizer and schedulers into the order of this run.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read; ``optimizer`` and
                ``param_schedulers`` are replaced.

        Raises:
            UserError: If the run is to be resumed and the file cannot be.
        """
        if not runner._resume:
            return
        lacking = [
            key for key, entries in _NEEDED.items()
            if not isinstance(checkpoint.get(key), dict)
            or not set(entries) <= checkpoint[key].keys()
        ]
        try:
            if lacking:
                raise _NoMatch(f'it has no {", ".join(lacking)}')
            if _is_single(runner.optim_wrapper):
                _match(runner, checkpoint)
        except _NoMatch as error:
            source = runner._load_from or f'the last one in {runner.work_dir}'
            raise UserError(
                f'{source} cannot be resumed: {error}; to start a new run '
                'from its weights, leave --resume out and give --cfg-options '
                f'load_from={runner._load_from or "FILE"}') from error


class _NoMatch(Exception):
    """Why a checkpoint's optimizer is not that of this run."""


def _is_single(optim_wrapper) -> bool:
    return isinstance(optim_wrapper, OptimWrapper) and not isinstance(
        optim_wrapper, OptimWrapperDict)


def _group_names(optim_wrapper, model) -> List[List[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return [[names[id(p)] for p in group['params']]
            for group in optim_wrapper.optimizer.param_groups]


def _match(runner, checkpoint):
    model = unwrap(runner.model)
    wanted = _group_names(runner.optim_wrapper, model)
    saved = checkpoint['optimizer']
    names = _saved_names(checkpoint, model)
    numbers = {name: i for i, name in enumerate(names)}
    flat = [name for group in wanted for name in group]
    if set(flat) != set(names):
        parts = [
            f'{text} {summarize(sorted(odd))}'
            for text, odd in (('it has no state for', set(flat) - set(names)),
                              ('this run does not train',
                               set(names) - set(flat))) if odd
        ]
        raise _NoMatch(f'its optimizer is another: {"; ".join(parts)}')
    _check_shapes(saved['state'], numbers, dict(model.named_parameters()))

    group_of = {
        name: i
        for i, name in zip((i for i, group in enumerate(saved['param_groups'])
                            for _ in group['params']), names)
    }
    order = [group_of[group[0]] for group in wanted]
    options = [_options(group) for group in saved['param_groups']]
    for group, i in zip(wanted, order):
        if any(options[group_of[name]] != options[i] for name in group):
            raise _NoMatch('its optimizer groups the parameters in another '
                           f'way: {summarize(group)} had several rates')
    numbered = iter(range(len(flat)))
    checkpoint['optimizer'] = dict(
        saved,
        state={
            i: saved['state'][numbers[name]]
            for i, name in enumerate(flat) if numbers[name] in saved['state']
        },
        param_groups=[
            dict(options[i], params=[next(numbered) for _ in group])
            for group, i in zip(wanted, order)
        ])
    for scheduler in checkpoint.get('param_schedulers') or ():
        # what a scheduler keeps of each group, and mmengine's OptimWrapper
        # after them of a group that stands for all
        for key in ('base_values', '_last_value'):
            values = scheduler.get(key)
            if isinstance(values, list) and len(values) >= len(options):
                scheduler[key] = [values[i]
                                  for i in order] + values[len(options):]


def _saved_names(checkpoint, model) -> List[str]:
    """The parameters' names in the order of the saved optimizer."""
    backbones = find_backbones(model)
    groups = checkpoint['optimizer']['param_groups']
    if all('param_names' in group for group in groups):
        given = [name for group in groups for name in group['param_names']]
    else:
        sizes = [len(group['params']) for group in groups]
        if len(sizes) > 1 and set(sizes) != {1}:
            raise _NoMatch('its optimizer has groups of parameters without '
                           'their names')
        given = list(checkpoint['state_dict'])
    own = list(rename_backbones(dict.fromkeys(given), backbones))
    parameters = dict(model.named_parameters())
    names = [name for name in own if name in parameters]
    count = sum(len(group['params']) for group in groups)
    if len(names) != count:
        raise _NoMatch(f'its optimizer has state for {count} parameters, and '
                       f'{len(names)} of its weights are parameters here')
    return names


def _check_shapes(state: Dict[int, dict], numbers: Dict[str, int],
                  parameters: Dict[str, torch.Tensor]) -> None:
    for name, i in numbers.items():
        for key, value in state.get(i, {}).items():
            # moments and the like; counters of steps have no dimension
            if isinstance(value, torch.Tensor) and value.dim() > 0 and \
                    value.shape != parameters[name].shape:
                raise _NoMatch(
                    f'{key} of {name} has the shape {tuple(value.shape)}, '
                    f'the parameter {tuple(parameters[name].shape)}')


def _options(group: Dict[str, Any]) -> Dict[str, Any]:
    return {
        key: value
        for key, value in group.items() if key not in ('params', 'param_names')
    }
