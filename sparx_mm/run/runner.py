"""Training and testing from a config, as tools/train.py and test.py do."""

import itertools
import os
import os.path as osp
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size, is_distributed
from mmengine.hooks import CheckpointHook, EMAHook, LoggerHook
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from ..checkpoint_io import lock_folder
from ..compat.allocator import keep_freed_memory
from ..data_checks import (
    check_classes,
    check_data,
    check_same_classes,
    settle_label_checks,
    use_checked_loaders,
)
from ..engine.optim.amp import use_amp
from ..engine.optim.layer_decay import use_layer_decay
from ..engine.saving.last_checkpoint import disk_errors
from ..errors import UserError
from ..reports import Report, check_report
from .channels import check_channels
from .cli import show_progress
from .compilation import check_compile, compile_backbones
from .config import load_config
from .distributed import align_gradients, check_launcher, init_distributed, lost_processes
from .evaluation_options import (
    dump_predictions,
    keep_subfolders,
    paint_predictions,
    use_tta,
)
from .mistakes import config_errors, first_step_errors
from .preflight import (
    check_checkpoint,
    check_device,
    check_packages,
    check_settings,
    check_training_device,
    check_weights,
    drop_pretrained,
    ensure_writable,
    last_checkpoint,
    settle_workers,
)
from .progress import progress_line
from .tracking import add_trackers

# hooks of every run, unless its config says otherwise. configs/_base_ lists
# them too, because other programs that run our configs do not come by here
DEFAULT_HOOKS = dict(
    coverage=dict(type='CoverageHook'),
    finite=dict(type='FiniteHook'),
    resume=dict(type='ResumeHook'),
    rehearsal=dict(type='RehearsalHook', num_images=2),
)
# mmengine's own default, without which a run saves nothing
CHECKPOINT_HOOK = dict(type='CheckpointHook', interval=1)
_FIRST = 'training fails in its first step'
_run_numbers = itertools.count(1)
# mmengine's own default hooks, which a config leaves out by None
MMENGINE_HOOKS = dict(
    runtime_info='RuntimeInfoHook',
    timer='IterTimerHook',
    sampler_seed='DistSamplerSeedHook',
    logger='LoggerHook',
    param_scheduler='ParamSchedulerHook',
    checkpoint='CheckpointHook',
)


def train(
    config: str,
    amp: bool = False,
    amp_dtype: str | None = None,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    show_optim: bool = False,
    compile: bool = False,
    track: Sequence[str] = (),
    progress: bool = False,
    **kwargs,
) -> Runner:
    """Train a model from a config file.

    Args:
        config (str): The config file.
        amp (bool): Train in mixed precision. Default: False.
        amp_dtype (str, optional): ``'float16'`` or ``'bfloat16'``; either
            switches ``amp`` on. None: see `use_amp`. Default: None.
        auto_scale_lr (bool): Scale the learning rate by the ratio of the
            images of a step, accumulated batches included, to
            ``auto_scale_lr.base_batch_size``. Default: False.
        resume (str, optional): Checkpoint to continue from; ``'auto'`` for
            the last one in the folder. Default: None.
        show_optim (bool): Log the learning rate and weight decay of the
            parameters before the first iteration. Default: False.
        compile (bool): Compile the backbone; see `compile_backbones`.
            Default: False.
        track (Sequence[str]): Trackers to write the curves to; see `add_trackers`.
            Default: ().
        progress (bool): Show one line instead of mmengine's in a terminal; see
            `progress_line`. Default: False.
        **kwargs: Arguments of `load_config`.

    Returns:
        Runner: The runner, after training.

    Raises:
        UserError: If something that the config or an option names is missing
            or wrong. It is raised before training starts.
    """
    cfg = load_config(config, **kwargs)
    if compile:
        check_compile(cfg)
    if amp or amp_dtype is not None:
        use_amp(cfg, amp_dtype)
    if track:
        add_trackers(cfg, track)
    check_training_device(cfg)
    _check_run(cfg)
    validates = cfg.get('val_cfg') is not None
    loops = ('train', 'val') if validates else ('train',)
    check_settings(cfg, loops)
    settle_label_checks(cfg, loops)
    facts = check_data(cfg, loops, show_progress)
    scaling = cfg.get('auto_scale_lr') or {}
    if auto_scale_lr or scaling.get('enable'):
        if 'base_batch_size' not in scaling:
            raise UserError(
                'auto_scale_lr needs a base_batch_size: auto_scale_lr=dict(base_batch_size=...) in '
                'the config'
            )
        _scale_rate(cfg)
    if show_optim:
        hooks = cfg.get('custom_hooks') or []
        cfg.custom_hooks = [*hooks, dict(type='OptimTableHook')]
    _settle_resume(cfg, resume)
    if cfg.get('load_from') is not None:
        check_checkpoint(cfg.load_from, '--resume' if cfg.load_from == resume else 'load_from')
    if cfg.resume:
        drop_pretrained(cfg)
    check_weights(cfg)
    ensure_writable(cfg.work_dir, '--work-dir')
    # before anything is written into the folder of a run that is going on; held until
    # this function returns
    lock = nullcontext() if _is_later_process() else lock_folder(cfg.work_dir) or nullcontext()
    with lock:
        runner = build_runner(cfg, loops)
        for line in [*facts, *_compare_batch(cfg)]:
            print_log(line, 'current')
        if not len(runner.train_dataloader):
            raise UserError(
                'train_dataloader has no batch: its data set holds fewer images '
                'than batch_size, or none with objects of its classes'
            )
        check_classes(runner, runner.train_dataloader.dataset, 'val')
        if validates:
            check_same_classes(runner.train_dataloader.dataset, runner.val_dataloader.dataset)
        if compile:
            compile_backbones(runner.model)
        line = progress_line(runner) if progress else nullcontext()
        with lost_processes(), first_step_errors(runner, _FIRST), disk_errors(cfg.work_dir), line:
            runner.train()
    return runner


def test(
    config: str,
    checkpoint: str | None,
    out: str | None = None,
    show: bool = False,
    show_dir: str | None = None,
    wait_time: float = 2.0,
    tta: bool = False,
    compile: bool = False,
    report: str | None = None,
    **kwargs,
) -> dict[str, float]:
    """Evaluate a model on the test set of its config.

    Args:
        config (str): The config file.
        checkpoint (str, optional): See `load_runner`.
        out (str, optional): Place for the predictions; see
            `dump_predictions`. Default: None.
        show (bool): Show each image in a window. Default: False.
        show_dir (str, optional): Folder for painted images; see
            `paint_predictions`. Default: None.
        wait_time (float): Seconds that an image is shown. Default: 2.
        tta (bool): Test with augmentation, as ``tta_model`` and
            ``tta_pipeline`` of the config say. Default: False.
        compile (bool): Compile the backbone; see `compile_backbones`.
            Default: False.
        report (str, optional): File of a page with metrics, classes, confusions, and the best
            and worst images; see `Report`. Default: None.
        **kwargs: Arguments of `load_config`.

    Returns:
        dict: Metrics by name; empty if the evaluator found nothing to
        evaluate.

    Raises:
        UserError: If something that the config or an option names is missing
            or wrong.
    """
    cfg = load_config(config, **kwargs)
    if compile:
        check_compile(cfg)
    if report is not None:
        check_report(report)
    if out is not None:
        dump_predictions(cfg, out)
    if show or show_dir is not None:
        paint_predictions(cfg, show, show_dir, wait_time)
    if tta:
        use_tta(cfg)
    runner = load_runner(cfg, checkpoint)
    if show_dir is not None:
        keep_subfolders(runner.visualizer, cfg)
    if compile:
        compile_backbones(runner.model)
    page = None if report is None else Report(runner)
    with lost_processes(), first_step_errors(runner, 'the test fails'):
        metrics = runner.test()
    if page is not None and get_rank() == 0:
        page.write(report, metrics, checkpoint)
    return metrics


def load_runner(cfg: Config, checkpoint: str | None) -> Runner:
    """Build a runner for testing and load its weights.

    Args:
        cfg (Config): A whole config.
        checkpoint (str, optional): File or URL of the weights. None for the
            model as training would start with it.

    Returns:
        Runner: The runner; its test set is read and its weights are loaded.

    Raises:
        UserError: If something that the config names is missing or wrong.
    """
    cfg.load_from = checkpoint
    cfg.resume = False
    _check_run(cfg)
    if cfg.get('test_dataloader') is None:
        raise UserError('the config has no test set (test_dataloader)')
    check_settings(cfg, ('test',))
    settle_label_checks(cfg, ('test',))
    facts = check_data(cfg, ('test',), show_progress)
    if checkpoint is None:
        check_weights(cfg)
    else:
        check_checkpoint(checkpoint, 'checkpoint')
    runner = build_runner(cfg, ('test',))
    for line in facts:
        print_log(line, 'current')
    check_classes(runner, runner.test_dataloader.dataset, 'test')
    # without EMAHook, because a checkpoint's state_dict has the averaged
    # weights; without LoggerHook in later processes, because all would write
    # the metrics into one file at once
    idle = (EMAHook, LoggerHook) if get_rank() else (EMAHook,)
    runner.hooks[:] = [h for h in runner.hooks if not isinstance(h, idle)]
    if checkpoint is None:
        runner.model.init_weights()
    runner.load_or_resume()
    return runner


def build_runner(cfg: Config, loops: Sequence[str] = ()) -> Runner:
    """Build a runner and, so that mistakes show early, its loops.

    Args:
        cfg (Config): A whole config; ``default_hooks`` is completed.
        loops (Sequence[str]): Loops whose data sets are read at once, any of
            ``'train'``, ``'val'`` and ``'test'``. Default: ().

    Returns:
        Runner: The runner.

    Raises:
        UserError: If the config has a mistake, or the folder of the run
            cannot be written.
    """
    ensure_writable(cfg.work_dir, '--work-dir')
    use_checked_loaders(cfg)
    use_layer_decay(cfg)
    cfg.default_hooks = _complete_hooks(cfg.get('default_hooks') or {})
    settle_workers(cfg)
    if get_device() == 'cpu':
        keep_freed_memory()
    _settle_names(cfg)
    with config_errors(cfg.to_dict()):
        build = RUNNERS.build if 'runner_type' in cfg else Runner.from_cfg
        runner = build(cfg)
        averages = [h for h in runner.hooks if isinstance(h, EMAHook)]
        if len(averages) > 1:
            raise UserError(
                f'{len(averages)} EMAHooks would each replace the weights by '
                'its average: leave one, in default_hooks or in custom_hooks'
            )
        for loop in loops:
            getattr(runner, f'{loop}_loop')
        if 'train' in loops:
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if is_distributed():
        align_gradients(runner.model)
    return runner


def _scale_rate(cfg: Config) -> None:
    """Let mmengine scale the learning rate by the number of images of a step."""
    cfg.auto_scale_lr.enable = True
    counts = _accumulative_counts(cfg)
    # a config that was saved by a run has been divided already
    divided = cfg.auto_scale_lr.get('divided_by', 1)
    if counts != divided:
        # mmengine compares a batch, and a step takes so many of them
        cfg.auto_scale_lr.base_batch_size *= divided / counts
        cfg.auto_scale_lr.divided_by = counts
        if not _is_later_process():
            print(
                f'auto_scale_lr: a step takes {counts} batches (accumulative_counts), so that '
                f'base_batch_size is {cfg.auto_scale_lr.base_batch_size:g} images a batch'
            )


def _accumulative_counts(cfg: Config) -> int:
    return (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def _compare_batch(cfg: Config) -> list[str]:
    """Say if the learning rate is for another number of images than a step has."""
    scaling, batch = cfg.get('auto_scale_lr') or {}, cfg.train_dataloader.get('batch_size')
    wanted = scaling.get('base_batch_size')
    if not wanted or not batch or scaling.get('enable'):
        return []
    images = batch * _accumulative_counts(cfg) * get_world_size()
    if images == wanted:
        return []
    return [
        f'the learning rate is for {wanted:g} images a step, and a step has {images}: '
        '--auto-scale-lr scales it'
    ]


def _settle_resume(cfg: Config, resume: str | None) -> None:
    """Set ``cfg.resume`` and ``cfg.load_from`` to what the run starts from."""
    if resume not in (None, 'auto'):
        cfg.load_from = resume
    cfg.resume = bool(resume or cfg.get('resume'))
    if not cfg.resume or (resume != 'auto' and cfg.get('load_from')):
        return
    # a job that is started again and again continues from the last checkpoint
    # of its folder; the first time, it starts from the config's load_from
    if last_checkpoint(cfg.work_dir):
        cfg.load_from = None
        return
    cfg.resume = False
    if not _is_later_process():
        print(
            f'nothing to resume in {osp.abspath(cfg.work_dir)}: training '
            f'starts from {cfg.get("load_from") or "the beginning"}'
        )


def _check_run(cfg: Config) -> None:
    if cfg.get('strategy') is not None or cfg.get('runner_type') == 'FlexibleRunner':
        raise UserError(
            "the config has a strategy, which is for mmengine's FlexibleRunner, and runs here are "
            'those of its Runner: leave strategy and runner_type out, or build the FlexibleRunner in '
            'a program of your own'
        )
    check_launcher(cfg)
    check_packages(cfg)
    check_channels(cfg)
    check_device(cfg)
    init_distributed(cfg)


def _settle_names(cfg: Config) -> None:
    """Give a later run of this process names of its own.

    mmengine keeps the default scope, the log, the counters and the visualizer of a run
    by name. A run is named after its config and the second, and its visualizer as the
    config says: of two runs with one name, the later one would get the library of the
    earlier one and write into its files.
    """
    number = next(_run_numbers)
    if number > 1:
        name = cfg.get('experiment_name') or Path(cfg.filename or 'run').stem
        cfg.experiment_name = f'{name}-{number}'
    visualizer = cfg.get('visualizer')
    if isinstance(visualizer, dict) and Visualizer.check_instance_created(visualizer.get('name')):
        # mmengine then names it after the run
        del visualizer['name']


def _is_later_process() -> bool:
    """Return True unless this is the first or only process of the run."""
    # from the variable, because mmengine's group starts with the Runner
    return bool(int(os.environ.get('RANK') or 0))


def _complete_hooks(given: dict) -> dict:
    """Add the hooks of every run; options alone are those of the hook of that name."""
    hooks = {**DEFAULT_HOOKS, 'checkpoint': CHECKPOINT_HOOK}
    for name, hook in given.items():
        if isinstance(hook, dict) and 'type' not in hook and name in {**hooks, **MMENGINE_HOOKS}:
            hook = {**hooks.get(name, dict(type=MMENGINE_HOOKS.get(name))), **hook}
        hooks[name] = hook
    return {
        name: _safe(hook)
        for name, hook in hooks.items()
        if hook is not None or name in MMENGINE_HOOKS
    }


def _safe(hook: dict | None) -> dict | None:
    """Replace mmengine's own hook for checkpoints by ours, which takes its options."""
    own = ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook)
    if isinstance(hook, dict) and hook.get('type') in own:
        return {**hook, 'type': 'SafeCheckpointHook'}
    return hook
