"""Hook that resumes a run from its own checkpoint and refuses any other."""

import inspect
import os.path as osp
from collections import Counter
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS

from ...errors import UserError
from ..models import checkpoint_source, unwrap
from ..optim.optimizer_state import NoMatch, group_names, is_named, is_single, match_optimizer

# entries that a Runner reads when it resumes. The optimizer is among them,
# because a Runner silently starts a new one if it is missing
_NEEDED = dict(
    meta=('epoch', 'iter'),
    message_hub=('log_scalars', 'runtime_info', 'resumed_keys'),
    optimizer=(),
)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Hook that saves an optimizer with parameter names and resumes by them.

    The names are saved as ``param_names`` of the parameter groups, where torch
    keeps them too. A file without them has the names of its weights, in the
    order of the file, because optimizers with one group, or one for each
    parameter, are built in this order. Names of released files are translated.
    """

    # before CoverageHook, because that puts the weights in the model's order
    priority = 'HIGHEST'

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write the names of the parameters beside their state.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): Checkpoint to be saved; ``optimizer`` is
                changed.
        """
        # FSDP gives the state to the first process only
        groups = checkpoint.get('optimizer', {}).get('param_groups')
        if is_single(runner.optim_wrapper) and groups:
            names = group_names(runner.optim_wrapper, unwrap(runner.model))
            for group, of_group in zip(groups, names):
                group['param_names'] = of_group

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put optimizer and schedulers into the order of this run.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): Loaded checkpoint; ``optimizer`` and
                ``param_schedulers`` are replaced.

        Raises:
            UserError: If the run is resumed and the checkpoint is not one of
                this run.
        """
        if not runner._resume:
            return
        try:
            _check_content(runner, checkpoint)
            _check_schedules(runner, checkpoint)
            if is_single(runner.optim_wrapper) and not is_named(checkpoint['optimizer']):
                match_optimizer(runner, checkpoint)
            _forget_other_runs(runner, checkpoint['message_hub'])
        except (NoMatch, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = (
                str(error)
                if isinstance(error, NoMatch)
                else (f'it is not what a Runner writes ({error!r})')
            )
            raise UserError(
                f'{checkpoint_source(runner)} cannot be resumed: {reason}; '
                'to start a new run from its weights, leave --resume out and '
                'give --cfg-options '
                f'load_from={runner._load_from or "FILE"}'
            ) from error


def _check_content(runner, checkpoint: dict) -> None:
    lacking = [
        key
        for key, entries in _NEEDED.items()
        if not isinstance(checkpoint.get(key), dict) or not set(entries) <= checkpoint[key].keys()
    ]
    if lacking:
        raise NoMatch(f'it has no {", ".join(lacking)}')
    meta = checkpoint['meta']
    for key in ('epoch', 'iter'):
        if not isinstance(meta[key], int) or meta[key] < 0:
            raise NoMatch(f'its {key} is {meta[key]!r}')
    if not isinstance(meta.get('seed'), (int, type(None))):
        raise NoMatch(f'its seed is {meta["seed"]!r}')
    hub = checkpoint['message_hub']
    if not all(isinstance(hub[key], dict) for key in _NEEDED['message_hub']):
        raise NoMatch('its message_hub is not that of a run')
    wanted = runner.param_schedulers or []
    saved = checkpoint.get('param_schedulers') or []
    if type(saved) is not type(wanted) or len(saved) != len(wanted):
        raise NoMatch(f'it has {len(saved)} schedules of rates, this run {len(wanted)}')


def _check_schedules(runner, checkpoint: dict) -> None:
    """Refuse schedules of another kind, and name settings that mmengine overwrites by the saved ones."""
    wanted, saved = runner.param_schedulers or [], checkpoint.get('param_schedulers') or []
    if isinstance(wanted, list):
        wanted, saved = dict(all=wanted), dict(all=saved)
    pairs = [pair for name in wanted for pair in zip(wanted[name], saved[name])]
    differing = []
    for schedule, state in pairs:
        kind, own, found = type(schedule).__name__, _public(vars(schedule)), _public(state)
        lacking, foreign = own.keys() - found.keys(), found.keys() - own.keys()
        # one of them alone may be another release of mmengine
        if lacking and foreign:
            raise NoMatch(
                f'its schedule of rates is no {kind}: it has {", ".join(sorted(foreign))} and no '
                f'{", ".join(sorted(lacking))}'
            )
        differing += [
            f'{kind}.{key}: {_brief(found[key])}, not {_brief(own[key])}'
            for key in _settings(schedule)
            if key in own and found.get(key, own[key]) != own[key]
        ]
    if differing:
        runner.logger.warning(
            'the schedules of rates of the checkpoint are not those of the config '
            f'({"; ".join(differing)}); resuming takes those of the checkpoint'
        )


def _public(state):
    # functions are not saved, and are those of the class
    return {k: v for k, v in state.items() if k[0] != '_' and k != 'optimizer' and not callable(v)}


def _settings(schedule) -> list[str]:
    """List the arguments of a schedule, which has attributes of their names."""
    arguments = [inspect.signature(kind.__init__).parameters for kind in type(schedule).__mro__]
    return sorted({name for names in arguments for name in names} - {'last_step', 'verbose'})


def _brief(value):
    return list(value) if isinstance(value, Counter) else value


def _forget_other_runs(runner, hub: dict[str, Any]) -> None:
    """Drop the files of another run's folder that mmengine would delete.

    mmengine deletes the best checkpoint, whatever its path, when there is a
    better one, and old checkpoints by their numbers.
    """
    info = hub['runtime_info']
    folders = {osp.realpath(runner.work_dir)}
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.out_dir:
            # the folder that the hook makes before it trains
            name = osp.basename(osp.realpath(runner.work_dir))
            folders.add(osp.realpath(osp.join(hook.out_dir, name)))
    for key in [key for key in info if key.startswith('best_ckpt')]:
        path = info[key]
        if (
            not isinstance(path, str)
            or osp.isdir(path)
            or osp.dirname(osp.realpath(path)) not in folders
        ):
            del info[key]
    ids = info.get('keep_ckpt_ids')
    if ids is not None:
        info['keep_ckpt_ids'] = [i for i in ids if isinstance(i, int)]
