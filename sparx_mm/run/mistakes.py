"""Mistakes of a config, which other packages report by all kinds of exceptions, in one line."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed

from ..config_nodes import walk
from ..errors import TRACEBACK_VARIABLE, ConfigError, UserError, error_text
from .distributed import is_loss_of_process

# whose message says what is wrong without the exception's name
_TELLING = (AssertionError, ConfigError, ImportError, OSError, RuntimeError, ValueError)
# what to do, by what torch and the libraries say, and where
REMEDIES = {
    r'None is not a callable object|first argument must be callable': 'its type is not '
    'registered: look for a misspelling',
    r"unexpected keyword argument 'pretrained'": "name the backbone's weights in its "
    "init_cfg, dict(type='Pretrained', checkpoint=FILE); if model.pretrained names those of the "
    'backbone before, give model.pretrained=None',
    r'meta information of the|should be the same with the first dataset': 'sets that are '
    'concatenated need one metainfo: give all the same classes and palette, or name those of no importance in '
    'ignore_keys of the ConcatDataset',
    r'palette does not match classes': 'give one colour for each class in metainfo.palette, or '
    'leave the palette out',
    r'Name or service not known|name resolution|Network is unreachable': 'the data set downloads '
    'what is missing, and there is no network: put its files into its data_root',
    r'image size in a batch should be the same': 'images of several sizes cannot be one batch of '
    'a segmentor: give val_dataloader.batch_size=1 and test_dataloader.batch_size=1',
    r'stack expects each tensor to be equal size': 'images of a batch differ in size: for a '
    'segmentor give model.data_preprocessor.size the crop_size of the pipeline',
    r'If the mean has 3 values': 'an image has one channel, and three are expected: give '
    "color_type='color' to LoadImageFromFile in all pipelines, or for images of one channel"
    ' model.data_preprocessor.bgr_to_rgb=False, a mean and a std of one value '
    'and model.backbone.in_channels=1',
    r'more than 1 value per channel': 'a batch norm has one value per channel of one image: give '
    'train_dataloader.batch_size=2 or more, and train_dataloader.drop_last=True',
    r'Target -?\d+ is out of bounds': 'a label is no class of the head: compare num_classes with '
    "the labels; dict(type='CheckSegMap', num_classes=N) after LoadAnnotations names the label map",
}
_WORKER = re.compile(r'Caught (\w+) in DataLoader worker process \d+\.\n')
_FRAME = re.compile(r'  File "(.*)", line (\d+), in ')


@contextmanager
def config_errors(cfg: dict) -> Iterator[None]:
    """Turn the errors of a config into a `UserError` while it is built.

    What a package other than this one raises while it is built from a config is
    taken as the config's mistake; a bug of this package passes through.

    Args:
        cfg (dict): The config that is built.

    Raises:
        UserError: If the error is the config's. It names the key whose value was
            being built.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) and not isinstance(error, ConfigError):
            raise
        if _is_own(error) and not isinstance(error, ConfigError):
            raise
        key = _find_key(error, cfg)
        where, text = f' {key}:' if key else '', _describe(error)
        remedy = _find_remedy(text)
        raise UserError(f'config:{where} {text}' + (f'; {remedy}' if remedy else '')) from error


class FirstStep(Hook):
    """Hook that knows whether a training has finished an iteration."""

    done = False

    def after_train_iter(self, *args, **kwargs) -> None:
        """Note that there is a finished iteration.

        Args:
            *args: Not used.
            **kwargs: Not used.
        """
        self.done = True


@contextmanager
def first_step_errors(runner: Runner, what: str) -> Iterator[None]:
    """Turn errors up to the end of the first training iteration into a `UserError`.

    Until then a config is tried for the first time. A test has no iteration of
    training, so that all of its errors are turned.

    Args:
        runner (Runner): The runner; a hook is appended.
        what (str): Start of the message: ``'training fails in its first step'``.

    Raises:
        UserError: Unless the error is a bug of this package, or another process's.
    """
    first = FirstStep()
    runner.hooks.append(first)
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or first.done or _is_own(error):
            raise
        if isinstance(error, distributed.DistError) or is_loss_of_process(error):
            raise
        text, place = _describe(error), f'raised in {_place(error)}'
        advice = _find_remedy(f'{text}; {place}') or place
        raise UserError(
            f'{what}: {text}; {advice} ({TRACEBACK_VARIABLE}=1 in the '
            'environment shows the traceback)'
        ) from error
    finally:
        runner.hooks.remove(first)


def _describe(error: Exception) -> str:
    kind, text = type(error).__name__, error_text(error)
    worker = _WORKER.match(text)
    if worker:
        # torch puts the traceback of a worker in front
        kind = worker[1]
        text = re.split(rf'\n(?:\w+\.)*{kind}:?', text)[-1].strip() or kind
    text = shorten(text, 400, placeholder=' ...')
    if text == kind:
        return f'{kind} in {_place(error)}'
    telling = isinstance(error, _TELLING) and not worker
    return text if telling else f'{kind}: {text}'


def _find_remedy(text: str) -> str | None:
    return next((remedy for found, remedy in REMEDIES.items() if re.search(found, text)), None)


def _place(error: Exception) -> str:
    """Return the file and line that raised an exception, in a worker too."""
    found = _FRAME.findall(error_text(error)) if _WORKER.match(error_text(error)) else []
    if found:
        file, line = found[-1]
    else:
        frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
        file = frame.f_code.co_filename
    return f'{file.rpartition("site-packages/")[2]}, line {line}'


def _is_own(error: Exception) -> bool:
    """Return True if code of this package raised an exception."""
    frame, _ = list(traceback.walk_tb(error.__traceback__))[-1]
    return frame.f_globals.get('__name__', '').partition('.')[0] == __package__.partition('.')[0]


def _find_key(error: Exception, cfg: dict) -> str:
    """Return the key of what was being built, the innermost; '' if it is unknown."""
    nodes = [(key, node) for key, node in walk(cfg) if key and node]
    # of mmengine's functions that build, because others hold parts that are built already
    builders = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get('__name__', '').startswith('mmengine.')
        and frame.f_code.co_name.startswith(('build', '__call__'))
    ]
    for frame in reversed(builders):
        for value in list(frame.f_locals.values()):
            if not isinstance(value, dict) or not value:
                continue
            for key, node in nodes:
                try:
                    if dict(value) == node:
                        return key
                except Exception:
                    # whatever comparing arrays or tensors in it raises
                    continue
    return ''
