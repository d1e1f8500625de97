"""A guard that stops a run before NaN or infinity gets into its weights."""

from functools import partial
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS

from ...errors import ConfigError
from ..models import unwrap
from ..numbers.nan_watch import NanWatch
from ..numbers.step_guard import StepGuard
from ..numbers.values import gradient_norm
from ..optim.optimizer_state import is_single

# steps in a row that a loss scaler may leave out; from 65536 it is 2**-34 by then
MAX_OVERFLOWS = 50


@HOOKS.register_module()
class FiniteHook(Hook):
    """Stop before an optimizer's step if a loss or the gradient norm is not finite.

    The error names the iteration, the term of the loss and the image files of the
    batch. All processes of a distributed run stop at the same step. Gradients that
    overflow in float16 are left to the loss scaler, unless they do in
    `MAX_OVERFLOWS` steps in a row. In validation and testing, a line of the log
    names the images for which the model computes NaN.

    Args:
        skip_limit (int): Number of steps of a run that are left out before it
            stops; batch-norm statistics are then put back too. Default: 0.

    Raises:
        ConfigError: If ``skip_limit`` is no number of steps.
    """

    # before the hooks that average or save the weights
    priority = 'VERY_HIGH'

    def __init__(self, skip_limit: int = 0) -> None:
        if isinstance(skip_limit, bool) or not isinstance(skip_limit, int) or skip_limit < 0:
            raise ConfigError(f'skip_limit must be an int of 0 or more, got {skip_limit!r}')
        self.skip_limit = skip_limit
        self._handles = []
        self._guard = self._watch = None
        self._stepped = False
        self._overflows = 0

    def before_train(self, runner) -> None:
        """Register what looks at the losses and at each step.

        Args:
            runner (Runner): The runner.
        """
        self._remove_handles()
        self._guard = StepGuard(runner, self.skip_limit)
        model, wrappers = unwrap(runner.model), runner.optim_wrapper
        self._handles = [model.register_forward_hook(self._after_forward, with_kwargs=True)]
        for wrapper in wrappers.values() if isinstance(wrappers, OptimWrapperDict) else [wrappers]:
            if isinstance(wrapper, OptimWrapper):
                judge = partial(self._before_step, runner, wrapper)
                self._handles.append(wrapper.optimizer.register_step_pre_hook(judge))

    def after_train(self, runner) -> None:
        """Remove what `before_train` registered, and log the number of skipped steps.

        Args:
            runner (Runner): The runner.
        """
        self._remove_handles()
        if self._guard.skipped:
            runner.logger.info(f'steps left out for NaN or infinity: {self._guard.skipped}')

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at the pixels of a batch.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch.
            data_batch (Any): Batch of the data loader. Default: None.
        """
        self._stepped = False
        self._guard.begin_batch(data_batch)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Judge an iteration in which no optimizer has stepped.

        Either gradients are accumulated, or a loss scaler has left the step out.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch.
            data_batch (Any): Batch of the data loader. Default: None.
            outputs (dict, optional): Logged losses. Default: None.
        """
        wrapper = runner.optim_wrapper
        if self._stepped or not isinstance(wrapper, OptimWrapper):
            return
        self._guard.end_batch()
        # of several optimizers, some may step in other iterations alone
        if (
            not is_single(wrapper)
            or not wrapper.should_update()
            or not self._guard.judge(wrapper.optimizer)
        ):
            return
        self._overflows += hasattr(wrapper, 'loss_scaler')
        if self._overflows == MAX_OVERFLOWS:
            self._guard.stop(
                f'iteration {runner.iter + 1}: gradients have overflowed in {MAX_OVERFLOWS} '
                'steps in a row, whatever the loss scale'
            )

    def before_val_epoch(self, runner) -> None:
        """Begin to look for NaN.

        Args:
            runner (Runner): The runner.
        """
        self._watch = NanWatch(unwrap(runner.model), runner.logger)

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log a line if there is NaN in a batch or in what was made of it.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch.
            data_batch (Any): Batch of the data loader. Default: None.
            outputs (Any): Predictions of the model. Default: None.
        """
        self._watch.after_batch(data_batch, outputs)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Stop looking for NaN.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Results of the evaluation. Default: None.
        """
        self._watch.close()

    before_test_epoch = before_val_epoch
    after_test_iter = after_val_iter
    after_test_epoch = after_val_epoch

    def _after_forward(self, module, args, kwargs, output):
        if kwargs.get('mode') == 'loss' and isinstance(output, dict):
            self._guard.add_losses(output)

    def _before_step(self, runner, wrapper, optimizer, args, kwargs):
        # a fused optimizer is called in any case, with what the loss scaler has found
        overflow = getattr(optimizer, 'found_inf', None)
        if overflow is not None and overflow.item():
            return
        self._stepped = True
        self._overflows = 0
        if overflow is not None:
            norm = 0.0
        elif wrapper.clip_grad_kwargs and wrapper.grad_name == 'grad_norm':
            # because clipping by an infinite norm makes zeros of finite gradients
            norm = runner.message_hub.get_scalar('train/grad_norm').current()
        else:
            norm = gradient_norm(optimizer)
        self._guard.judge(optimizer, norm)

    def _remove_handles(self):
        for handle in self._handles:
            handle.remove()
        self._handles = []
