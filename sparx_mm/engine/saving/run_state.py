"""Where a run is: random states, place in the data and counts, for a resume that is exact."""

from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import SequentialSampler

from ...errors import UserError
from ..models import checkpoint_source, unwrap
from .data_position import continue_batches, continue_epoch, find_sampler
from .random_state import get_random_state, set_random_state

# settings of a run without which another one draws other numbers or other images
_SETTINGS = dict(
    world_size='number of processes',
    batch_size='batch size',
    batches='number of batches',
)
# samplers whose order depends on their seed and the epoch alone
_SAMPLERS = (DefaultSampler, InfiniteSampler, SequentialSampler)


def collect(
    runner, done: int, is_validated: bool = True, random_state: dict | None = None
) -> dict[str, Any]:
    """Describe where a run is; all of its processes must call it.

    Args:
        runner (Runner): The run.
        done (int): Number of batches of the present epoch that were trained.
        is_validated (bool): False if a validation is due before the next batch.
            Default: True.
        random_state (dict, optional): State of this process's generators. None for
            the present one. Default: None.

    Returns:
        dict: Numbers, lists and tensors, for a checkpoint.
    """
    return dict(
        done=done,
        validated=is_validated,
        random=all_gather_object(random_state or get_random_state()),
        sampler_seed=_sampler_seed(runner.train_dataloader),
        # mmengine saves no hook
        early_stopping=[
            dict(
                monitor=hook.monitor,
                rule=hook.rule,
                count=hook.wait_count,
                best=float(hook.best_score),
            )
            for hook in _stops(runner)
        ],
        input_sizes=[module._input_size for module in _resizers(runner)],
        **_settings(runner.train_dataloader),
    )


def go_on(runner, state: dict[str, Any] | None) -> int:
    """Let a run that was resumed go on where the saved one was, and say how exactly.

    Random states are restored right before its next batch is read, because building
    models and loaders draws numbers too.

    Args:
        runner (Runner): The run; its counters are those of the checkpoint.
        state (dict, optional): What `collect` returned for the saved run; None if the
            checkpoint has no such state.

    Returns:
        int: Number of batches that the next epoch leaves out.

    Raises:
        UserError: If the state is not one that `collect` returns.
    """
    if state is None:
        runner.logger.warning('resumed, but not exactly: the checkpoint has no random states')
        return 0
    try:
        done = _restore(state, runner)
        reasons = _differences(state, runner)
    # a file's content can be anything
    except Exception as error:
        raise UserError(
            f'{checkpoint_source(runner)} cannot be resumed: its run_state is not what a run '
            f'saves ({error!r})'
        ) from error
    if reasons:
        runner.logger.warning(f'resumed, but not exactly: {"; ".join(reasons)}')
    else:
        runner.logger.info('resumed exactly: random states and place in the data are restored')
    return done


def _restore(state, runner):
    loop, seed = runner.train_loop, state['sampler_seed']
    if seed is not None and _sampler_seed(loop.dataloader) is not None:
        # without a seed in its config, a run that is resumed has drawn another one
        find_sampler(loop.dataloader).seed = seed
    for hook, kept in zip(_stops(runner), state.get('early_stopping', ())):
        # scores of another metric cannot be compared
        if (hook.monitor, hook.rule) == (kept['monitor'], kept['rule']):
            hook.wait_count, hook.best_score = int(kept['count']), float(kept['best'])
    for module, size in zip(_resizers(runner), state.get('input_sizes', ())):
        module._input_size = size and tuple(map(int, size))
    states = state['random']

    def set_state():
        if len(states) == get_world_size():
            set_random_state(states[get_rank()])

    # now too, so that a state that does not fit is known before the training
    set_state()
    if isinstance(loop, IterBasedTrainLoop):
        continue_batches(loop, set_state)
    elif isinstance(loop, EpochBasedTrainLoop):
        done = state.get('done')
        if done is None:
            # of an older release, whose epochs had as many batches before
            done = max(0, loop.iter - loop.epoch * state['batches'])
        # the same share of the epoch, if its number of batches is another one now
        done = done * len(loop.dataloader) // state['batches']
        continue_epoch(runner, done, set_state)
        return done
    return 0


def _differences(state, runner):
    """List why a run cannot go on exactly as the saved one would have."""
    here = _settings(runner.train_dataloader)
    found = [
        f'the {text} was {state[key]} and is {here[key]}'
        for key, text in _SETTINGS.items()
        if state[key] != here[key]
    ]
    sampler = find_sampler(runner.train_dataloader)
    if not isinstance(sampler, _SAMPLERS):
        found.append(f'{type(sampler).__name__} may give the data in another order')
    if getattr(runner.train_dataloader, 'num_workers', 0):
        found.append('workers of the data loader draw random numbers of their own')
    if not isinstance(runner.train_loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        found.append(f'{type(runner.train_loop).__name__} begins its data anew')
    if getattr(runner.train_loop, 'fast_forward_on_resume', False):
        found.append('train_cfg.fast_forward_on_resume begins the data anew')
    if runner.iter % getattr(runner.optim_wrapper, '_accumulative_counts', 1):
        found.append('gradients that were being accumulated are not saved')
    return found


def _stops(runner):
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def _resizers(runner):
    """List what resizes some batches in a row to one size that it draws, as in mmdet's YOLOX."""
    # None before the first batch
    kinds = (list, tuple, type(None))
    modules = unwrap(runner.model).modules()
    return [m for m in modules if isinstance(getattr(m, '_input_size', 0), kinds)]


def _sampler_seed(loader):
    seed = getattr(find_sampler(loader), 'seed', None)
    return seed if isinstance(seed, int) else None


def _settings(loader):
    try:
        batches = len(loader)
    except TypeError:
        # of a stream
        batches = None
    batch_sampler = getattr(loader, 'batch_sampler', None)
    return dict(
        world_size=get_world_size(),
        batch_size=getattr(batch_sampler, 'batch_size', None),
        batches=batches,
    )
