"""Table of the learning rates and weight decays of the parameters."""

from collections.abc import Collection, Sequence
from os.path import commonprefix

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from torch import nn

from ...state_dicts import fold_names
from ..models import unwrap

# number of names shown in a row
NAMES = 3
HEAD = ('rate', 'decay', 'tensors', 'millions', 'parameters')
# rows without a rate, which come after the others
FROZEN, LEFT_OUT = 'frozen', 'not in the optimizer'


@HOOKS.register_module()
class OptimTableHook(Hook):
    """Log the table of `make_optim_table` before the first iteration."""

    def before_train(self, runner) -> None:
        """Log the table; mmengine's logger prints it on the first rank only."""
        table = make_optim_table(runner.model, runner.optim_wrapper)
        runner.logger.info(f'optimizer:\n{table}')


def make_optim_table(model: nn.Module, optim_wrapper: OptimWrapper) -> str:
    """Make a table of the parameters by learning rate and weight decay.

    Args:
        model (nn.Module): The model.
        optim_wrapper (OptimWrapper): Optimizer wrapper of the model, or an
            `OptimWrapperDict` of several.

    Returns:
        str: A row for each pair of rate and decay, lowest first, one for
        frozen parameters, one for parameters without an optimizer, and the
        total. The rate is the one before its schedule. A row shows the names
        with the most elements; ``*`` in a name stands for several numbers.

    Example:
        >>> from mmengine.optim import OptimWrapper
        >>> from torch import nn, optim
        >>> model = nn.ModuleList(nn.Linear(1000, 50) for _ in range(4))
        >>> model[0].requires_grad_(False)
        Linear(in_features=1000, out_features=50, bias=True)
        >>> adam = optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
        >>> print(make_optim_table(model, OptimWrapper(adam)))
        rate    decay  tensors  millions  parameters
        0.0001   0.05        6     0.150  *: weight, bias
        frozen               2     0.050  0: weight, bias
        total                8     0.200
    """
    model = unwrap(model)
    wrappers = [optim_wrapper]
    if isinstance(optim_wrapper, OptimWrapperDict):
        wrappers = list(optim_wrapper.values())
    settings, rows = {}, {}
    for wrapper in wrappers:
        for group in wrapper.optimizer.param_groups:
            rate = group.get('initial_lr', group['lr'])
            for parameter in group['params']:
                settings[id(parameter)] = rate, group.get('weight_decay', 0)
    for name, parameter in model.named_parameters():
        key = settings.get(id(parameter), (LEFT_OUT, ''))
        if not parameter.requires_grad:
            key = (FROZEN, '')
        rows.setdefault(key, {})[name] = parameter.numel()
    # rates before FROZEN and LEFT_OUT
    keys = sorted(rows, key=lambda key: (isinstance(key[0], str), key))
    lines = [HEAD]
    lines += [(*map(_number, key), *_sums(rows[key].values()), _summary(rows[key])) for key in keys]
    every = [number for row in rows.values() for number in row.values()]
    lines.append(('total', '', *_sums(every), ''))
    return _align(lines)


def _summary(sizes: dict[str, int]) -> str:
    """Fold names with their numbers of elements into one line."""
    totals = {name: sum(sizes[one] for one in group) for name, group in fold_names(sizes).items()}
    parts = [name.split('.') for name in sorted(totals, key=lambda n: -totals[n])]
    # the common start of the names is printed once
    common = commonprefix([part[:-1] for part in parts])
    common = common if len(parts) > 1 else []
    shown = ['.'.join(part[len(common) :]) for part in parts[:NAMES]]
    if len(parts) > NAMES:
        shown.append(f'and {len(parts) - NAMES} more')
    where = '.'.join(common) + ': ' if common else ''
    return where + ', '.join(shown)


def _sums(numbers: Collection[int]) -> tuple[str, str]:
    return str(len(numbers)), f'{sum(numbers) / 1e6:.3f}'


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f'{value:.4g}'


def _align(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines)]
    rows = []
    for first, *numbers, last in lines:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(numbers, widths[1:])]
        rows.append('  '.join([*cells, last]).rstrip())
    return '\n'.join(rows)
