"""A place in the data: loops that go on where those of another process stopped."""

import copy
from collections.abc import Callable, Iterator
from itertools import islice

from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader, Sampler


def find_sampler(loader: DataLoader) -> Sampler | None:
    """Return the sampler of a loader, which may be in a batch sampler; None without one."""
    sampler = getattr(loader, 'sampler', None)
    return getattr(getattr(loader, 'batch_sampler', None), 'sampler', sampler)


def continue_batches(loop: IterBasedTrainLoop, set_state: Callable[[], None]) -> None:
    """Prepare a loop that leaves out the batches before its iteration.

    Args:
        loop (IterBasedTrainLoop): The loop; its counter is set.
        set_state (Callable): Called right before the first batch is read.
    """
    loop.dataloader_iterator = _Continued(loop.dataloader_iterator, loop.iter, set_state)


def continue_epoch(runner, done: int, set_state: Callable[[], None]) -> None:
    """Let the next epoch of a run begin after some of its batches.

    Args:
        runner (Runner): The run; its loop is an ``EpochBasedTrainLoop``.
        done (int): Number of batches to leave out.
        set_state (Callable): Called right before the first batch is read.
    """
    loop = runner.train_loop
    whole = loop.run_epoch

    def run_rest():
        del loop.run_epoch
        if not done:
            set_state()
            whole()
            return
        # as in mmengine's run_epoch
        runner.call_hook('before_train_epoch')
        runner.model.train()
        batches = _batches_after(loop.dataloader, done)
        set_state()
        for i, batch in enumerate(batches, done):
            loop.run_iter(i, batch)
        runner.call_hook('after_train_epoch')
        loop._epoch += 1

    loop.run_epoch = run_rest


class _Continued:
    """mmengine's endless iterator; sets the random state before its first new batch.

    Args:
        batches (Iterator): The iterator.
        done (int): Number of batches that the saved run has read.
        set_state (Callable): Sets the random state.
    """

    def __init__(self, batches, done, set_state):
        self._batches, self._set_state = batches, set_state
        # mmengine 0.10.7 reads as many batches as it skips
        self._skipped = 0 if hasattr(batches, 'skip_iter') else done

    def __iter__(self):
        return self

    def skip_iter(self, num_iters):
        self._batches.skip_iter(num_iters)

    def __next__(self):
        if self._skipped == 0:
            # because starting an iterator draws a number
            getattr(self._batches, '_ensure_iterator', bool)()
            self._set_state()
        self._skipped -= 1
        return next(self._batches)


def _batches_after(loader: DataLoader, done: int) -> Iterator:
    """Iterate over a loader without reading its first batches."""
    rest = copy.copy(loader)
    key = 'sampler' if loader.batch_sampler is None else 'batch_sampler'
    # a DataLoader refuses other samplers once it is built
    rest.__dict__[key] = _Rest(getattr(loader, key), done)
    return iter(rest)


class _Rest:
    """What a sampler yields after its first ``done`` items."""

    def __init__(self, sampler, done):
        self._sampler, self._done = sampler, done

    def __len__(self):
        return max(0, len(self._sampler) - self._done)

    def __iter__(self):
        return islice(iter(self._sampler), self._done, None)
