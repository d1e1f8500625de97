"""One line of the terminal that shows how far a training is (``tools/train.py --progress``)."""

import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

# seconds between two drawings of the line
INTERVAL_S = 0.1
# iterations that the loss is averaged over
WINDOW = 20
# methods of LoggerHook whose lines the progress line takes the place of
_REPLACED = ('after_train_iter', 'after_val_iter')


@contextmanager
def progress_line(runner: Runner) -> Iterator[None]:
    """Show a line with epoch, iteration, loss, learning rate, time left and memory.

    The lines that mmengine logs every few iterations go to the log file alone. Where its
    logger does not write to a terminal, nothing changes.

    Args:
        runner (Runner): The runner; a hook is appended while the line is shown.
    """
    handlers = [h for h in runner.logger.handlers if type(h) is logging.StreamHandler]
    if not handlers or handlers[0].level >= logging.ERROR or not handlers[0].stream.isatty():
        # a later process of a distributed run, or a file
        yield
        return
    handler, stream = handlers[0], handlers[0].stream
    columns = (
        TextColumn('{task.description}'),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn('{task.fields[facts]}'),
    )
    # no thread refreshes it, because workers are forked
    progress = Progress(*columns, console=Console(file=stream), auto_refresh=False)
    hook = _LineHook(progress)
    runner.hooks.append(hook)
    handler.addFilter(_is_shown)
    with progress:
        # rich's stand-in, which prints above the line
        handler.setStream(sys.stdout)
        try:
            yield
        finally:
            handler.setStream(stream)
            handler.removeFilter(_is_shown)
            runner.hooks.remove(hook)


def _is_shown(record: logging.LogRecord) -> bool:
    return record.module != 'logger_hook' or record.funcName not in _REPLACED


class _LineHook(Hook):
    """Hook that draws the line after an iteration.

    Args:
        progress (Progress): What draws it.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task = progress.add_task('', total=None, facts='', visible=False)
        self.drawn = 0.0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw the line of a training iteration.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch in its epoch.
            data_batch (dict, optional): Not used. Default: None.
            outputs (dict, optional): Not used. Default: None.
        """
        if runner.log_processor.by_epoch:
            what = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            self._draw(runner, what, batch_idx + 1, len(runner.train_dataloader), 'train')
        else:
            self._draw(runner, 'iteration', runner.iter + 1, runner.max_iters, 'train')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw the line of a batch that is evaluated.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch.
            data_batch (dict, optional): Not used. Default: None.
            outputs (Sequence, optional): Not used. Default: None.
        """
        self._draw(runner, 'evaluation', batch_idx + 1, len(runner.val_dataloader), 'val')

    def _draw(self, runner, what, done, total, mode):
        now = time.monotonic()
        if done < total and now - self.drawn < INTERVAL_S:
            return
        self.drawn = now
        facts = '  '.join(_facts(runner.message_hub, mode))
        self.progress.update(
            self.task,
            description=what,
            completed=done,
            total=total,
            facts=facts,
            visible=True,
            refresh=True,
        )


def _facts(hub, mode) -> Iterator[str]:
    """Yield the parts of the line, of those that the run records."""
    scalars = hub.log_scalars
    if f'{mode}/loss' in scalars:
        yield f'loss {scalars[f"{mode}/loss"].mean(WINDOW):.4f}'
    if f'{mode}/lr' in scalars:
        yield f'lr {scalars[f"{mode}/lr"].current():.2e}'
    if 'eta' in hub.runtime_info:
        yield f'eta {timedelta(seconds=int(hub.get_info("eta")))}'
    if torch.cuda.is_available():
        yield f'GPU {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB'
    else:
        # ru_maxrss is in KiB
        yield f'RAM {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB'
