"""Optimizer state that is matched by the names of parameters.

torch numbers the parameters of an optimizer. A checkpoint whose parameters
are in another order would give each parameter the moments of another, without an
error.
"""

from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from ...state_dicts import summarize
from ..models import find_backbones, rename_backbones, unwrap


class NoMatch(Exception):
    """A checkpoint's optimizer is not that of this run; the message says why."""


def is_single(optim_wrapper) -> bool:
    """Return True if ``optim_wrapper`` has one optimizer, not several by name."""
    return isinstance(optim_wrapper, OptimWrapper) and not isinstance(
        optim_wrapper, OptimWrapperDict
    )


def is_named(saved: dict) -> bool:
    """Return True if a saved optimizer has names for numbers, by which FSDP matches it."""
    groups = saved.get('param_groups', ())
    return any(isinstance(entry, str) for group in groups for entry in group['params'])


def group_names(optim_wrapper, model) -> list[list[str]]:
    """List the names of the parameters in each group of an optimizer.

    Args:
        optim_wrapper (OptimWrapper): Wrapper of the optimizer.
        model (nn.Module): The model that it trains.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    return [
        [names[id(p)] for p in group['params']] for group in optim_wrapper.optimizer.param_groups
    ]


def match_optimizer(runner, checkpoint: dict) -> None:
    """Put a saved optimizer and its schedulers into the order of a run.

    Args:
        runner (Runner): The run; its optimizer is built.
        checkpoint (dict): Content of the file; ``optimizer`` and
            ``param_schedulers`` are replaced.

    Raises:
        NoMatch: If not all of it can be matched by name.
    """
    model = unwrap(runner.model)
    wanted = group_names(runner.optim_wrapper, model)
    saved = checkpoint['optimizer']
    names = _saved_names(checkpoint, model)
    numbers = {name: i for i, name in enumerate(names)}
    flat = [name for group in wanted for name in group]
    if set(flat) != set(names):
        parts = [
            f'{text} {summarize(sorted(odd))}'
            for text, odd in (
                ('it has no state for', set(flat) - set(names)),
                ('this run does not train', set(names) - set(flat)),
            )
            if odd
        ]
        raise NoMatch(f'its optimizer is another: {"; ".join(parts)}')
    _check_state(saved, numbers, dict(model.named_parameters()))

    group_of = {
        name: i
        for i, name in zip(
            (i for i, group in enumerate(saved['param_groups']) for _ in group['params']), names
        )
    }
    order = [group_of[group[0]] for group in wanted]
    options = [_options(group) for group in saved['param_groups']]
    for group, i in zip(wanted, order):
        if any(options[group_of[name]] != options[i] for name in group):
            raise NoMatch(
                'its optimizer groups the parameters in another '
                f'way: {summarize(group)} had several rates'
            )
    groups = runner.optim_wrapper.optimizer.param_groups
    if any(_rates(group) != _rates(options[i]) for group, i in zip(groups, order)):
        runner.logger.warning(
            'the learning rates or weight decays of the checkpoint are not '
            'those of the config; resuming takes those of the checkpoint'
        )
    numbered = iter(range(len(flat)))
    checkpoint['optimizer'] = dict(
        saved,
        state={
            i: saved['state'][numbers[name]]
            for i, name in enumerate(flat)
            if numbers[name] in saved['state']
        },
        param_groups=[
            dict(options[i], params=[next(numbered) for _ in group])
            for group, i in zip(wanted, order)
        ],
    )
    for scheduler in checkpoint.get('param_schedulers') or ():
        # one value per group; mmengine's OptimWrapper appends one for a group that
        # stands for all
        for key in ('base_values', '_last_value'):
            values = scheduler.get(key)
            if isinstance(values, list) and len(values) >= len(options):
                scheduler[key] = [values[i] for i in order] + values[len(options) :]


def _saved_names(checkpoint, model) -> list[str]:
    """List the parameters' names in the order of the saved optimizer."""
    backbones = find_backbones(model)
    groups = checkpoint['optimizer']['param_groups']
    if all('param_names' in group for group in groups):
        given = [name for group in groups for name in group['param_names']]
    else:
        sizes = [len(group['params']) for group in groups]
        if len(sizes) > 1 and set(sizes) != {1}:
            raise NoMatch('its optimizer has groups of parameters without their names')
        given = list(checkpoint['state_dict'])
    own = list(rename_backbones(dict.fromkeys(given), backbones))
    parameters = dict(model.named_parameters())
    names = [name for name in own if name in parameters]
    count = sum(len(group['params']) for group in groups)
    if len(names) != count:
        raise NoMatch(
            f'its optimizer has state for {count} parameters, and '
            f'{len(names)} of its weights are parameters here'
        )
    return names


def _check_state(saved: dict, numbers: dict[str, int], parameters: dict[str, torch.Tensor]) -> None:
    state = saved['state']
    # because plain SGD has no state
    keeps = any(g.get('betas') or g.get('momentum') for g in saved['param_groups'])
    # because a parameter that was never used has none
    if keeps and not any(i in state for i in numbers.values()):
        raise NoMatch('its optimizer has no state')
    for name, i in numbers.items():
        for key, value in state.get(i, {}).items():
            if not isinstance(value, torch.Tensor):
                continue
            # moments have the parameter's shape; step counters have no dimension
            if value.dim() > 0 and value.shape != parameters[name].shape:
                raise NoMatch(
                    f'{key} of {name} has the shape {tuple(value.shape)}, '
                    f'the parameter {tuple(parameters[name].shape)}'
                )
            if not value.isfinite().all():
                raise NoMatch(f'{key} of {name} has NaN or infinity')


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ('params', 'param_names')}


def _rates(group):
    return group.get('initial_lr', group['lr']), group.get('weight_decay')
