"""Fine-tuning on a user's own data: data, config, training, evaluation, picture."""

import gc
import json
import os.path as osp
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.config import Config

from ..checkpoint_io import write_text
from ..data_checks.report import format_reports, report_data
from ..demo.predictions import write_picture
from ..errors import UserError
from ..run import load_config, load_runner, show_progress, train
from ..run.overrides import merge_options
from ..run.preflight import check_packages, last_checkpoint
from .config_file import format_config, write_config
from .device import use_device
from .models import TASKS, find_model
from .pictures import draw_validation
from .prepare import check_unchanged, is_checked, mark_checked, prepare_data
from .request import Facts, Request
from .rules import Choices, Wishes, choose
from .settings import make_config
from .weights import use_weights

CONFIG, DATA, TRAINING = 'config.py', 'data', 'training'


class Outcome(NamedTuple):
    """What a fine-tuning has made.

    Args:
        config (str): The config file.
        checkpoint (str, optional): The best checkpoint; None after a dry run.
        metrics (dict[str, float]): Its metrics on the validation set.
        picture (str, optional): Picture of its predictions; None after a dry run.
    """

    config: str
    checkpoint: str | None = None
    metrics: dict[str, float] = {}
    picture: str | None = None


def finetune(
    task: str | None = None,
    images: str | None = None,
    annotations: str | None = None,
    val_images: str | None = None,
    val_annotations: str | None = None,
    classes: Sequence[str] | None = None,
    model: str | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    size: int | None = None,
    work_dir: str = 'work_dirs/finetune',
    device: str | None = None,
    seed: int = 0,
    resume: bool = False,
    dry_run: bool = False,
    cfg_options: dict[str, Any] | None = None,
) -> Outcome:
    """Fine-tune a model on a user's own data.

    Args:
        task (str, optional): ``'detection'``, ``'segmentation'`` or
            ``'classification'``. None: that of the run to resume. Default: None.
        images (str, optional): See `Request`, as the next four. Default: None.
        annotations (str, optional): Default: None.
        val_images (str, optional): Default: None.
        val_annotations (str, optional): Default: None.
        classes (Sequence[str], optional): Default: None.
        model (str, optional): See `find_model`. Default: None.
        weights (str, optional): See `use_weights`. Default: None.
        epochs (int, optional): See `Choices`, as the next three. Default: None.
        batch_size (int, optional): Default: None.
        lr (float, optional): Default: None.
        size (int, optional): Default: None.
        work_dir (str): Folder of the run. Default: ``'work_dirs/finetune'``.
        device (str, optional): See `use_device`. Default: None.
        seed (int): Seed of the split and the training. Default: 0.
        resume (bool): Go on with the run in ``work_dir``. Default: False.
        dry_run (bool): Write the config, and train nothing. Default: False.
        cfg_options (dict, optional): Values by dotted key, which override those of the
            config that is written. Default: None.

    Returns:
        Outcome: What was made.

    Raises:
        UserError: If the data cannot be trained, or an option does not fit.
    """
    place = use_device(device)
    path, folder = osp.join(work_dir, CONFIG), osp.join(work_dir, DATA)
    if resume and osp.isfile(path):
        check_unchanged(folder)
        print(
            f'going on with {path} on {place}; options of data, model and training are not read: '
            'change them there'
        )
    else:
        if resume:
            print(f'nothing to resume in {osp.abspath(work_dir)}: a new run begins')
        _check_new(work_dir)
        request = Request(
            task=_require_task(task),
            images=images and osp.abspath(images),
            annotations=annotations and osp.abspath(annotations),
            val_images=val_images and osp.abspath(val_images),
            val_annotations=val_annotations and osp.abspath(val_annotations),
            classes=None if classes is None else tuple(classes),
            seed=seed,
        )
        wishes = Wishes(size, epochs, batch_size, lr)
        _begin(request, wishes, model, weights, work_dir, place, cfg_options or {})
    # a resumed run may have ended before its data were checked
    if not is_checked(folder):
        _check_data(path)
        mark_checked(folder)
    if dry_run:
        return Outcome(path)
    checkpoint = _train(path, work_dir, resume)
    # a runner and its loops refer to each other, and the trained model would stay in memory
    # beside the one that is tested
    gc.collect()
    return _finish(path, work_dir, checkpoint)


def _require_task(task: str | None) -> str:
    if task is None:
        raise UserError(f'--task is missing: give one of {", ".join(TASKS)}')
    return task


def _check_new(work_dir: str) -> None:
    training = osp.join(work_dir, TRAINING)
    if osp.isdir(training) and last_checkpoint(training):
        raise UserError(
            f'{osp.abspath(work_dir)} holds a run, whose checkpoints a new one would write over: '
            'go on with --resume, or give another --work-dir'
        )


def _begin(request, wishes, model, weights, work_dir, place, options) -> None:
    """Convert the data, and write the config."""
    facts = prepare_data(request, osp.join(work_dir, DATA))
    for note in facts.notes:
        print(f'data: {note}')
    name, base = find_model(request.task, model, facts.masks)
    cfg = Config.fromfile(base)
    start = use_weights(cfg, weights, request.task)
    choices = choose(request.task, facts.num_trained, facts.size, name, wishes)
    cfg = make_config(cfg, request.task, name, facts, choices, request.seed)
    cfg.work_dir = osp.abspath(osp.join(work_dir, TRAINING))
    merge_options(cfg, options)
    path = osp.join(work_dir, CONFIG)
    lines = _describe(request, facts, name, choices, start, place)
    print('\n'.join(lines))
    head = ['Written by tools/finetune.py; tools/train.py takes it as it is.', '', *lines]
    moved = write_config(path, format_config(cfg, head, _comment(facts, choices)))
    if moved:
        print(f'the config that was there is {moved} now')
    print(f'config: {path}')


def _check_data(path: str) -> None:
    """Run the data check on all images of a config."""
    cfg = load_config(path)
    check_packages(cfg)
    reports = report_data(cfg, show_progress)
    print(format_reports(reports))
    faults = [fault for report in reports for fault in report.faults]
    if faults:
        raise UserError(
            f'the data have {len(faults)} faults, listed above, the first: {faults[0].text}'
        )


def _describe(
    request: Request, facts: Facts, name: str, choices: Choices, start: str, place: str
) -> list[str]:
    train_count, val_count = facts.counts['train'], facts.counts['val']
    few = facts.num_trained < train_count
    objects = f' ({facts.num_trained} with objects, which are trained)' if few else ''
    return [
        f'data: {facts.format}, {train_count} images for training{objects}, {val_count} for '
        f'validation, {len(facts.classes)} classes',
        f'model: {name} for {request.task}, from {start}',
        f'device: {place}',
        f'chosen: {choices.epochs} epochs, batches of {choices.batch_size}, learning rate '
        f'{choices.lr:g}, images of {choices.size} pixels',
    ]


def _comment(facts: Facts, choices: Choices) -> dict[str, str]:
    return dict(
        load_from='weights of a whole model; those of the backbone alone are model.backbone.init_cfg',
        train_cfg=f'{choices.epochs} epochs for {facts.num_trained} images; with another '
        'max_epochs, change T_max of param_scheduler too',
        optim_wrapper=f'the rate is for batches of {choices.batch_size}',
        test_dataloader='of tools/test.py',
    )


def _train(path: str, work_dir: str, resume: bool) -> str:
    """Train, and return the best checkpoint, or the last one without a best."""
    # of this folder, which may have been moved since the config was written
    training = osp.join(work_dir, TRAINING)
    runner = train(path, work_dir=training, resume='auto' if resume else None)
    best = runner.message_hub.runtime_info.get('best_ckpt')
    return best or last_checkpoint(training)


def _finish(path: str, work_dir: str, checkpoint: str) -> Outcome:
    """Evaluate a checkpoint and draw its predictions."""
    cfg: Config = load_config(path, work_dir=osp.join(work_dir, 'evaluation'))
    tested = load_runner(cfg, checkpoint)
    metrics = {key: float(value) for key, value in tested.test().items()}
    table = osp.join(work_dir, 'results.json')
    write_text(table, json.dumps(dict(checkpoint=checkpoint, metrics=metrics), indent=1))
    picture = osp.join(work_dir, 'predictions.png')
    write_picture(picture, draw_validation(tested.model, tested.test_dataloader.dataset))
    return Outcome(path, checkpoint, metrics, picture)
