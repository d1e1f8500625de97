"""The check that a model which is tested gets all of its weights from a file."""

import re

from mmengine.runner import BaseLoop
from torch import nn

from ..state_dicts import CoverageError
from ..state_dicts.keymap import starts_neutral
from ..state_dicts.match import Report
from ..state_dicts.names import summarize

# heads that a test does not run
_AUXILIARY = re.compile(r'(.*\.)?\w*aux\w*\.')
_STATISTICS = ('running_mean', 'running_var')


def is_tested(runner) -> bool:
    """Return True if a runner is about to test or validate, and not to train.

    Args:
        runner (Runner): The runner, with the loop built that it is about to run.
    """
    if isinstance(runner._train_loop, BaseLoop):
        return False
    return any(isinstance(loop, BaseLoop) for loop in (runner._test_loop, runner._val_loop))


def require_whole(model: nn.Module, report: Report, source: str, checkpoint: dict) -> None:
    """Raise unless a file has every tensor that a test runs with.

    A buffer other than a batch norm's statistics is a constant that the model
    knows without the file.

    Args:
        model (nn.Module): The model.
        report (Report): The tensors that it takes from the file.
        source (str): The file, for the message.
        checkpoint (dict): Content of the file, for the number of its classes.

    Raises:
        CoverageError: If a parameter or a statistic of the model, other than an
            auxiliary head's, is missing or of another shape.
    """
    learned = dict(model.named_parameters())
    lacking = [
        name
        for name in (*report.missing, *report.reshaped)
        if not _AUXILIARY.match(name)
        and (name in report.reshaped or name in learned or name.endswith(_STATISTICS))
        and (name in report.reshaped or not starts_neutral(name))
    ]
    if not lacking:
        return
    end = 'its results would be those of random weights'
    reshaped = [name for name in lacking if name in report.reshaped]
    heads = _find_heads(model, reshaped)
    ours = next(iter(heads.values()), None)
    theirs = _count_classes(checkpoint, report, heads) or ours
    if theirs != ours and len(reshaped) == len(lacking):
        raise CoverageError(
            f'{source} was trained for {theirs} classes, the config has {ours} '
            f'({", ".join(heads)}): {end}; give the config that it was trained with'
        )
    shapes = f', {report.reshaped[reshaped[0]]}' if reshaped else ''
    raise CoverageError(
        f'{source} does not fill the model: {len(lacking)} of {len(report.own)} tensors '
        f'are not in it or of another shape, {summarize(lacking)}{shapes}: {end}; give '
        'the config that it was trained with'
    )


def _find_heads(model, names):
    """Map the modules around some tensors to their numbers of classes."""
    modules = dict(model.named_modules())
    heads = {}
    for name in names:
        parts = name.split('.')[:-1]
        while parts:
            number = getattr(modules['.'.join(parts)], 'num_classes', None)
            if isinstance(number, int):
                heads['.'.join(parts)] = number
                break
            parts.pop()
    return heads


def _count_classes(checkpoint, report, heads):
    """Return the number of classes that a file was trained for; None if it is unknown."""
    metainfo = (checkpoint.get('meta') or {}).get('dataset_meta')
    classes = metainfo.get('classes') if isinstance(metainfo, dict) else None
    if isinstance(classes, (list, tuple)):
        return len(classes)
    file = checkpoint.get('state_dict', checkpoint)
    for head, ours in heads.items():
        for name in report.reshaped:
            if not (report.own[name].dim() and getattr(file.get(name), 'ndim', 0)):
                # a counter of batches
                continue
            # a softmax with a background has one output more than there are classes
            background = len(report.own[name]) - ours
            if name.startswith(f'{head}.') and background in (0, 1):
                return len(file[name]) - background
    return None
