"""Hook that saves a run so that no kill, signal or full disk loses it."""

import os.path as osp
import signal
from collections import deque
from functools import partial

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from ...checkpoint_io import WriteError, lock_folder, save_checkpoint, sweep
from ..saving.last_checkpoint import name_last, saving_errors
from ..saving.random_state import get_random_state, set_random_state
from ..saving.readable import make_readable, warn_if_unreadable
from ..saving.run_state import collect, go_on
from ..saving.stop_signals import StopSignals, shield_workers
from ..saving.test_settings import KEY as SETTINGS
from ..saving.test_settings import collect_settings

# what a run saves that is stopped by a signal; its next checkpoint replaces it
STOPPED = 'stopped.pth'
_KEY = 'run_state'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` for runs that may be killed at any moment.

    - A checkpoint is whole or not there. An older one is removed, and
      ``last_checkpoint`` written, only after the new one is on the disk, so that
      ``max_keep_ckpts=1`` is safe.
    - A run that is resumed goes on exactly: random states and the place in the data
      are saved, and validation does not change the random numbers of training.
    - SIGTERM, SIGUSR1 and Ctrl-C save a checkpoint after the current step and exit
      with status 128 plus the number of the signal: 143, 138 and 130.
    - A second run in the same folder is refused.

    Args:
        **kwargs: Arguments of ``CheckpointHook``.

    Example:
        >>> # in a config; tools other than ours import it by
        >>> # custom_imports=dict(imports=['sparx_mm.engine'])
        >>> default_hooks = dict(
        ...     checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=1))
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._signals = StopSignals()
        self._lock = self._state = self._before_val = self._saved_iter = None
        # of each checkpoint that this run is resumed from
        self._loaded = []
        # batches of the present epoch that are trained, and that the next one leaves out
        self._done = self._left_out = 0

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the state of the saved run for `before_train`.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): Loaded checkpoint.
        """
        if runner._resume:
            self._loaded.append(checkpoint.get(_KEY))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write what inference needs, and the state of the run if it can be resumed.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): Checkpoint to be saved; it is changed.
        """
        if self._state is not None:
            checkpoint[_KEY] = self._state
        settings = collect_settings(runner.cfg)
        if settings is not None:
            checkpoint['meta'][SETTINGS] = settings
        make_readable(checkpoint)

    def before_run(self, runner) -> None:
        """Let folder and signals be released when training ends, by an error too.

        Args:
            runner (Runner): The runner.
        """
        # no hook is called after an error
        loop = runner._train_loop
        if isinstance(loop, BaseLoop):
            loop.run = partial(self._release_after, loop.run)

    def before_train(self, runner) -> None:
        """Lock the folder, go on where a saved run was, and listen to signals.

        Args:
            runner (Runner): The runner.

        Raises:
            UserError: If another run has the folder, or if the state in the checkpoint
                is not one that this hook has written.
        """
        if is_main_process():
            self._lock = lock_folder(runner.work_dir)
        super().before_train(runner)
        if is_main_process():
            for folder in {runner.work_dir, self.out_dir}:
                for name in sweep(folder) if osp.isdir(folder) else ():
                    runner.logger.info(f'{osp.join(folder, name)} was never finished: removed')
        if (
            self.by_epoch
            and self.interval > 0
            and isinstance(runner.train_loop, IterBasedTrainLoop)
        ):
            runner.logger.warning(
                'checkpoints are saved by epochs, and a loop by iterations has one epoch, until '
                'whose end a run that is killed cannot be resumed: give '
                'default_hooks.checkpoint.by_epoch=False default_hooks.checkpoint.interval=1000, '
                'for example'
            )
        for state in self._loaded:
            self._left_out = go_on(runner, state)
        for loop in (runner.train_loop, runner.val_loop):
            # a loop of another library may have several loaders, or none
            if isinstance(getattr(loop, 'dataloader', None), DataLoader):
                shield_workers(loop.dataloader)
        self._signals.listen()
        state = (self._loaded[-1] if self._loaded else None) or {}
        if not state.get('validated', True) and runner.val_loop is not None:
            # a signal has stopped the run before it
            runner.val_loop.run()

    def before_train_epoch(self, runner) -> None:
        """Count the batches of the epoch from its first one, or from that of a resumed run."""
        self._done, self._left_out = self._left_out, 0

    def after_train_epoch(self, runner) -> None:
        """Save at the interval."""
        self._done = 0
        super().after_train_epoch(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save at the interval, or because of a signal.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch in the loop.
            data_batch (optional): The batch. Default: None.
            outputs (optional): Outputs of the model. Default: None.

        Raises:
            SystemExit: After a signal, once the checkpoint is written.
        """
        self._done += 1
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        # gradients that are still being accumulated are not saved
        if not (runner.iter + 1) % getattr(runner.optim_wrapper, '_accumulative_counts', 1):
            self._stop_if_asked(runner, runner.iter + 1, not _is_validated_next(runner))

    def before_val(self, runner) -> None:
        """Set the random state of training aside."""
        self._before_val = get_random_state()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Stop at once because of a signal if a checkpoint holds all before this validation.

        The checkpoint then says that the validation is due.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch in the loop.
            data_batch (optional): The batch. Default: None.
            outputs (optional): Outputs of the model. Default: None.

        Raises:
            SystemExit: After a signal.
        """
        if self._signals.received and self._saved_iter == runner.iter:
            if is_main_process() and osp.isfile(self.last_ckpt):
                self._ask_for_validation(runner)
            self._exit(runner, self._signals.received)

    def after_val(self, runner) -> None:
        """Go on with the random state of training, or stop because of a signal.

        Raises:
            SystemExit: After a signal, once the checkpoint is written.
        """
        if self._before_val is not None:
            set_random_state(self._before_val)
            self._before_val = None
        self._stop_if_asked(runner, runner.iter)

    def _release_after(self, run):
        try:
            return run()
        finally:
            self._signals.leave()
            if self._lock is not None:
                self._lock.close()

    def _save_checkpoint(self, runner):
        with saving_errors(runner.work_dir):
            super()._save_checkpoint(runner)

    def _save_best_checkpoint(self, runner, metrics):
        storage = self.file_backend
        self.file_backend = later = _RemovesLater(storage)
        try:
            with saving_errors(runner.work_dir):
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = storage
        # now that a whole checkpoint names the new best one
        for path in set(later.removed) - set(_strings(runner.message_hub.runtime_info)):
            self._remove(path)

    def _save_checkpoint_with_step(self, runner, step, meta):
        ids = list(getattr(self, 'keep_ckpt_ids', ()))
        if self.max_keep_ckpts > 0 and step not in ids[-1:]:
            ids.append(step)
            # with the oldest: if this process is killed before it removes that file, the
            # resumed one does
            runner.message_hub.update_info('keep_ckpt_ids', ids)
        self._save(runner, self.filename_tmpl.format(step), meta)
        self._remove(self._path(STOPPED))
        if self.max_keep_ckpts > 0:
            for old in ids[: -self.max_keep_ckpts]:
                self._remove(self._path(self.filename_tmpl.format(old)))
            self.keep_ckpt_ids = deque(ids, self.max_keep_ckpts)

    def _save(self, runner, filename, meta, is_validated=True):
        """Write a checkpoint that can be resumed, and then its name."""
        self.last_ckpt = self._path(filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._state = collect(runner, self._done, is_validated, self._before_val)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._state = None
        is_first, self._saved_iter = self._saved_iter is None, meta['iter']
        if is_main_process():
            name_last(runner.work_dir, self.last_ckpt)
            if is_first and osp.isfile(self.last_ckpt):
                warn_if_unreadable(self.last_ckpt, runner.logger)

    def _stop_if_asked(self, runner, iteration, is_validated=True):
        asked = self._signals.received
        if get_world_size() > 1:
            # a signal may reach one process alone, or one of them a step later
            asked = torch.tensor([asked])
            all_reduce(asked, 'max')
            asked = int(asked)
        if not asked:
            return
        if self._saved_iter != iteration or not is_validated:
            with saving_errors(runner.work_dir):
                meta = dict(epoch=runner.epoch, iter=iteration)
                self._save(runner, STOPPED, meta, is_validated)
        # a launcher ends all processes when the first of them exits
        barrier()
        self._exit(runner, asked)

    def _ask_for_validation(self, runner):
        # in the file that this process has written, because the model has its averaged weights now
        checkpoint = torch.load(self.last_ckpt, 'cpu', weights_only=False, mmap=True)
        checkpoint[_KEY]['validated'] = False
        make_readable(checkpoint)
        try:
            save_checkpoint(checkpoint, self.last_ckpt)
        except WriteError as error:
            runner.logger.warning(f'{error}: the resumed run will not repeat this validation')

    def _exit(self, runner, number):
        name = signal.Signals(number).name
        runner.logger.info(f'stopped by {name}; --resume continues from {self.last_ckpt}')
        raise SystemExit(128 + number)

    def _path(self, name):
        return self.file_backend.join_path(self.out_dir, name)

    @master_only
    def _remove(self, path):
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            # DeepSpeed's checkpoints are folders
            self.file_backend.rmtree(path)


def _is_validated_next(runner):
    """Return True if a loop by iterations validates after the present one, which it then counts."""
    loop, iteration = runner.train_loop, runner.iter + 1
    return (
        isinstance(loop, IterBasedTrainLoop)
        and runner.val_loop is not None
        and iteration >= loop.val_begin
        and (iteration % loop.val_interval == 0 or iteration == loop.max_iters)
    )


class _RemovesLater:
    """A storage backend that lists what it is told to remove."""

    def __init__(self, storage):
        self._storage, self.removed = storage, []

    def __getattr__(self, name):
        return getattr(self._storage, name)

    def remove(self, path):
        self.removed.append(path)

    rmtree = remove


def _strings(values):
    return [value for value in values.values() if isinstance(value, str)]
