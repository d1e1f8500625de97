"""Training and testing from a config: what tools/train.py and test.py do."""

import os
import os.path as osp
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import EMAHook, LoggerHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..engine.optim.amp import use_amp
from ..errors import UserError
from .classes import check_classes, check_same_classes
from .config import config_errors, load_config
from .distributed import join_processes
from .preflight import (
    check_amp,
    check_checkpoint,
    check_data,
    check_device,
    check_launcher,
    check_packages,
    check_weights,
    check_work_dir,
    forget_weights,
    last_checkpoint,
)
from .test_options import dump_predictions, paint_predictions, use_tta

# what every run has unless its config says otherwise
DEFAULT_HOOKS = dict(coverage=dict(type='CoverageHook'), resume=dict(type='ResumeHook'))
# those that mmengine has by default, and can be told to leave out
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def train(
    config: str,
    amp: bool = False,
    amp_dtype: str | None = None,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    show_optim: bool = False,
    **kwargs,
) -> Runner:
    """Train a model from a config file.

    Args:
        config (str): The config file.
        amp (bool): Train in mixed precision. Default: False.
        amp_dtype (str, optional): ``'float16'`` or ``'bfloat16'``; either
            switches ``amp`` on. None: see `use_amp`. Default: None.
        auto_scale_lr (bool): Scale the learning rate by the ratio of the
            batch size to ``auto_scale_lr.base_batch_size``. Default: False.
        resume (str, optional): A checkpoint to continue from; ``'auto'``:
            the last one in the folder. Default: None.
        show_optim (bool): Log which parameters have which learning rate and
            weight decay before the first iteration. Default: False.
        **kwargs: See `load_config`.

    Returns:
        Runner: After training.

    Raises:
        UserError: If something that the config or an option names is missing
            or wrong; before anything is trained.
    """
    cfg = load_config(config, **kwargs)
    if amp or amp_dtype is not None:
        use_amp(cfg, amp_dtype)
    check_amp(cfg)
    _check_run(cfg)
    validates = cfg.get('val_cfg') is not None
    loops = ('train', 'val') if validates else ('train',)
    check_data(cfg, loops)
    if auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise UserError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config'
            )
        cfg.auto_scale_lr.enable = True
    if show_optim:
        hooks = cfg.get('custom_hooks') or []
        cfg.custom_hooks = [*hooks, dict(type='OptimTableHook')]
    _settle_resume(cfg, resume)
    if cfg.get('load_from') is not None:
        check_checkpoint(cfg.load_from, '--resume' if cfg.load_from == resume else 'load_from')
    if cfg.resume:
        forget_weights(cfg)
    check_weights(cfg)
    runner = build_runner(cfg, loops)
    if not len(runner.train_dataloader):
        raise UserError(
            'train_dataloader has no batch: its data set holds fewer images '
            'than batch_size, or none with objects of its classes'
        )
    check_classes(runner, runner.train_dataloader.dataset, 'val')
    if validates:
        check_same_classes(runner.train_dataloader.dataset, runner.val_dataloader.dataset)
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
    **kwargs,
) -> dict[str, float]:
    """Evaluate a model on the test set of its config.

    Args:
        config (str): The config file.
        checkpoint (str, optional): See `load_runner`.
        out (str, optional): A ``.pkl`` file for the predictions, or for a
            config of mmseg a folder for label maps. Default: None.
        show (bool): Show each image in a window. Default: False.
        show_dir (str, optional): Paint images into this folder; see
            `paint_predictions`. Default: None.
        wait_time (float): Seconds that an image is shown. Default: 2.
        tta (bool): Test with augmentation, as ``tta_model`` and
            ``tta_pipeline`` of the config say. Default: False.
        **kwargs: See `load_config`.

    Returns:
        dict: The metrics by name; empty if the evaluator found nothing to
        evaluate.

    Raises:
        UserError: If something that the config or an option names is missing
            or wrong.
    """
    cfg = load_config(config, **kwargs)
    if out is not None:
        dump_predictions(cfg, out)
    if show or show_dir is not None:
        paint_predictions(cfg, show, show_dir, wait_time)
    if tta:
        use_tta(cfg)
    return load_runner(cfg, checkpoint).test()


def load_runner(cfg: Config, checkpoint: str | None) -> Runner:
    """Build a runner for testing and load its weights.

    Args:
        cfg (Config): A whole config.
        checkpoint (str, optional): File or URL of the weights. None: the
            model as training would start with it.

    Returns:
        Runner: With the test set read and the weights loaded.

    Raises:
        UserError: If something that the config names is missing or wrong.
    """
    cfg.load_from = checkpoint
    cfg.resume = False
    _check_run(cfg)
    if cfg.get('test_dataloader') is None:
        raise UserError('the config has no test set (test_dataloader)')
    check_data(cfg, ('test',))
    if checkpoint is None:
        check_weights(cfg)
    else:
        check_checkpoint(checkpoint, 'checkpoint')
    runner = build_runner(cfg, ('test',))
    check_classes(runner, runner.test_dataloader.dataset, 'test')
    # an average is made in training; it is what a checkpoint's state_dict has.
    # Each process would write the metrics, all into one file at once
    idle = (EMAHook, LoggerHook) if get_rank() else (EMAHook,)
    runner.hooks[:] = [h for h in runner.hooks if not isinstance(h, idle)]
    if checkpoint is None:
        runner.model.init_weights()
    runner.load_or_resume()
    return runner


def build_runner(cfg: Config, loops: Sequence[str] = ()) -> Runner:
    """Build a runner and, so that mistakes show early, its loops.

    Args:
        cfg (Config): A whole config.
        loops (Sequence[str]): Of ``'train'``, ``'val'`` and ``'test'``: the
            loops whose data sets are read at once. Default: ().

    Returns:
        Runner: The runner.

    Raises:
        UserError: If the config has a mistake, or the folder of the run
            cannot be written.
    """
    check_work_dir(cfg)
    hooks = {**DEFAULT_HOOKS, **(cfg.get('default_hooks') or {})}
    cfg.default_hooks = {
        name: hook for name, hook in hooks.items() if hook is not None or name in MMENGINE_HOOKS
    }
    with config_errors(cfg.to_dict()):
        build = RUNNERS.build if 'runner_type' in cfg else Runner.from_cfg
        runner = build(cfg)
        averages = [h for h in runner.hooks if isinstance(h, EMAHook)]
        if len(averages) > 1:
            raise UserError(
                f'{len(averages)} EMAHooks would each put its average in the '
                'place of the weights: leave one, in default_hooks or in '
                'custom_hooks'
            )
        for loop in loops:
            getattr(runner, f'{loop}_loop')
        if 'train' in loops:
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    return runner


def _settle_resume(cfg, resume):
    """Decide what a run starts from: ``cfg.resume`` and ``cfg.load_from``."""
    if resume not in (None, 'auto'):
        cfg.load_from = resume
    cfg.resume = bool(resume or cfg.get('resume'))
    if not cfg.resume or (resume != 'auto' and cfg.get('load_from')):
        return
    # the last checkpoint of the folder, and the first time what the config
    # says: as a job that is started again and again does
    if last_checkpoint(cfg.work_dir):
        cfg.load_from = None
        return
    cfg.resume = False
    # of several processes the first one says it
    if not int(os.environ.get('RANK') or 0):
        print(
            f'nothing to resume in {osp.abspath(cfg.work_dir)}: training '
            f'starts from {cfg.get("load_from") or "the beginning"}'
        )


def _check_run(cfg):
    check_launcher(cfg)
    check_packages(cfg)
    check_device(cfg)
    join_processes(cfg)
