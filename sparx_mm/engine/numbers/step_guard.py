"""Judgement of each step of an optimizer, before it is taken."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank
from mmengine.hooks import CheckpointHook
from torch.optim import Optimizer

from ...checkpoint_io import CheckpointError, read_checkpoint
from ...errors import UserError
from ..models import unwrap
from .values import bad_images, bad_terms, image_files, loss_terms, shorten, total_loss

# entry of the message hub, which is saved with a checkpoint
SKIPPED = 'skipped_steps'
NO_PATH = 'images without a path'


class StepGuard:
    """Stop a run, or leave a step out, if its losses or gradients are not finite.

    Args:
        runner (Runner): The runner; its model is built.
        skip_limit (int): Number of steps of the run that may be left out.
    """

    def __init__(self, runner, skip_limit: int) -> None:
        self.runner = runner
        self.skip_limit = skip_limit
        buffers = unwrap(runner.model).buffers() if skip_limit else []
        # statistics of a batch norm, which a forward pass has changed before its loss is known
        self._buffers = [(b, b.clone()) for b in buffers if b.is_floating_point()]
        self._begin_step()

    @property
    def skipped(self) -> int:
        """Number of steps of the run that have been left out."""
        return self.runner.message_hub.runtime_info.get(SKIPPED, 0)

    def begin_batch(self, batch: Any) -> None:
        """Blank images that no network can use, and remember that they came.

        Args:
            batch (Any): Batch of the data loader.
        """
        self._batch, self._terms = batch, []
        for description, image in bad_images(batch):
            self._causes.append(f'{self._iteration}: {description}')
            # a forward pass on NaN fails in some heads, and spoils batch-norm statistics
            image.zero_()

    def add_losses(self, losses: Mapping[str, Any]) -> None:
        """Remember the losses of a forward pass.

        Args:
            losses (Mapping): Output of a model in the mode ``'loss'``.
        """
        self._terms.append(loss_terms(losses))

    def end_batch(self) -> None:
        """Look at the losses of a batch whose gradients are accumulated."""
        self._find_causes()
        self._files += image_files(self._batch)

    def judge(self, optimizer: Optimizer, norm: torch.Tensor | float = 0.0) -> bool:
        """Judge a step, in all processes alike.

        Args:
            optimizer (Optimizer): The optimizer that is about to step.
            norm (Tensor or float): Norm of its gradients. Default: 0.

        Returns:
            bool: True if all is finite; False if the step is left out.

        Raises:
            UserError: If not all is finite and no more steps may be left out.
        """
        # one number that is finite if all are, in all processes
        health = sum(map(total_loss, self._terms)) + norm
        health = torch.as_tensor(math.nan if self._causes else health, dtype=torch.float32)
        all_reduce(health)
        finite = math.isfinite(health.item())
        if finite:
            for buffer, copy in self._buffers:
                copy.copy_(buffer)
        else:
            self._skip(optimizer, self._describe(float(norm)))
        self._begin_step()
        return finite

    def stop(self, what: str) -> NoReturn:
        """Stop the run.

        Args:
            what (str): Description of what is not finite.

        Raises:
            UserError: Always.
        """
        raise UserError(
            f'{what}; the optimizer has not stepped, {_last_finite(self.runner)}; mend or '
            'remove these images, lower the learning rate, or clip gradients with '
            'optim_wrapper.clip_grad=dict(max_norm=1); default_hooks.finite.skip_limit=N '
            'leaves out up to N such steps'
        )

    @property
    def _iteration(self):
        return f'iteration {self.runner.iter + 1}'

    def _begin_step(self):
        self._terms, self._causes, self._files = [], [], []

    def _find_causes(self):
        """Note the terms of the last forward passes that are not finite."""
        terms = [text for terms in self._terms for text in bad_terms(terms)]
        if terms:
            files = shorten(image_files(self._batch)) or NO_PATH
            self._causes.append(f'{self._iteration}: {", ".join(terms)} for {files}')
        self._terms = []

    def _describe(self, norm):
        """Describe what is not finite, in whichever processes."""
        self._find_causes()
        norms = [] if math.isfinite(norm) else [f'the gradient norm is {norm}']
        files = self._files + image_files(self._batch)
        every = all_gather_object((self._causes, norms, files))
        causes, norms, files = map(_merge, zip(*every))
        return '; '.join(causes) or (
            f'{self._iteration}: {"; ".join(norms) or "the loss is not finite"} '
            f'for {shorten(files) or NO_PATH}'
        )

    def _skip(self, optimizer, what):
        skipped = self.skipped
        if skipped >= self.skip_limit:
            self.stop(f'{what}; {skipped} steps have been left out before it' if skipped else what)
        self.runner.message_hub.update_info(SKIPPED, skipped + 1)
        self.runner.logger.warning(
            f'{what}: step {skipped + 1} of at most {self.skip_limit} that are left out'
        )
        # a parameter without a gradient is left as it is
        optimizer.zero_grad(set_to_none=True)
        for buffer, copy in self._buffers:
            buffer.copy_(copy)


def _merge(lists):
    """Join the lists of all processes, each entry once."""
    return list(dict.fromkeys(entry for one in lists for entry in one))


def _last_finite(runner) -> str:
    """Name the last checkpoint of a run whose weights are finite."""
    if get_rank():
        # only the first process says it
        return 'and nothing is lost that was saved'
    folders = [Path(h.out_dir) for h in runner.hooks if isinstance(h, CheckpointHook) and h.out_dir]
    files = [file for folder in folders for file in folder.glob('*.pth')]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            weights = read_checkpoint(str(file), 'cpu')['state_dict'].values()
        except CheckpointError:
            continue
        if all(torch.isfinite(w).all() for w in weights if isinstance(w, torch.Tensor)):
            return f'the last checkpoint with finite weights is {file}'
    return f'there is no checkpoint yet in {runner.work_dir}'
