"""A config and a checkpoint, made into a model that predicts."""

import logging
import os
import re

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from .. import info
from ..checkpoint_io import load_checkpoint
from ..compat.allocator import keep_freed_memory
from ..config_nodes import has_teacher, walk
from ..engine.hooks.coverage import load_whole
from ..engine.saving.test_settings import read_settings
from ..errors import UserError
from ..libraries import LIBRARIES, find_library
from ..run.channels import check_channels
from ..run.compilation import check_compile, compile_backbones
from ..run.config import load_config
from ..run.mistakes import config_errors
from ..run.preflight import check_checkpoint, check_packages
from .pipeline import find_pipeline, settle_tta
from .predictor import Predictor

CHECKPOINTS = ('.pth', '.pt', '.safetensors', '.ckpt')


def load(
    config: str | Config | None = None,
    checkpoint: str | None = None,
    device: str | torch.device | None = None,
    cfg_options: dict | None = None,
    tta: bool = False,
    compile: bool = False,
) -> Predictor:
    """Load a detector, a segmentor or a classifier for inference.

    On a CPU, this process keeps freed memory from then on; see `keep_freed_memory`.

    Args:
        config (str or Config, optional): Config file, or what was read of one. None if the
            checkpoint has test settings, as those that our tools save do. Default: None.
        checkpoint (str, optional): File or URL of the weights; it is read without running code
            from it. None for random weights, which is said. Default: None.
        device (str or torch.device, optional): Where the model runs. None for a GPU if there is
            one. Default: None.
        cfg_options (dict, optional): Values by dotted key that override the config's.
            Default: None.
        tta (bool): Predict with test-time augmentation; see `settle_tta`. Default: False.
        compile (bool): Compile the backbone; see `compile_backbones`. Default: False.

    Returns:
        Predictor: The model.

    Raises:
        UserError: If the config or the checkpoint is missing or wrong, or if one does not fit
            the other.
    """
    content = _read(config, checkpoint)
    cfg = _settle_config(config, checkpoint, content, cfg_options)
    task = find_library(cfg).task
    if not task:
        known = ', '.join(name for name, row in LIBRARIES.items() if row.task)
        raise UserError(
            f'the config runs on {cfg.get("default_scope")}, and inference is for {known}'
        )
    check_packages(cfg)
    check_channels(cfg)
    device = check_device(device, cfg)
    if device.type == 'cpu':
        keep_freed_memory()
    if compile:
        check_compile(cfg)
    init_default_scope(cfg.default_scope)
    with config_errors(cfg.to_dict()):
        model = _build(cfg, content, checkpoint)
        metainfo = _find_metainfo(cfg, content, model)
        # as the libraries' own functions mark a model, which then take this one
        model.dataset_meta = model._dataset_meta = metainfo
        model._config = cfg
        if tta:
            outer, steps = settle_tta(cfg)
            # mmdet reads the options of its wrapper as attributes
            wrapped = MODELS.build(ConfigDict(outer, module=model))
        else:
            steps, wrapped = find_pipeline(cfg), model
    if compile:
        compile_backbones(model)
    with config_errors(cfg.to_dict()):
        return Predictor(wrapped.to(device), cfg, metainfo, steps)


def check_device(device: str | torch.device | None, cfg: Config) -> torch.device:
    """Check that a model can run on a device.

    Args:
        device (str or torch.device, optional): The device; None for the best one.
        cfg (Config): The model's config.

    Returns:
        torch.device: The device.

    Raises:
        UserError: If it is none, not there, or one that mmcv's operators do not run on.
    """
    try:
        device = torch.device(device or get_device())
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        # torch says several lines
        reason = str(error).splitlines()[0]
        raise UserError(
            f'--device {device}: {reason}; give cpu, or cuda where there is one'
        ) from error
    needs_ops = 'mmcv._ext' in find_library(cfg).packages
    if device.type == 'cuda' and needs_ops and not info.mmcv_cuda_version():
        raise UserError(
            "mmcv's operators were compiled for the CPU only: give --device cpu, or install nvcc "
            'and run `make setup`'
        )
    return device


def _read(config, checkpoint) -> dict | None:
    if isinstance(config, (str, os.PathLike)) and str(config).endswith(CHECKPOINTS):
        raise UserError(
            f'{config} is a checkpoint and stands where the config is expected: give '
            'load(CONFIG, CHECKPOINT), or load(checkpoint=CHECKPOINT) if our tools saved it'
        )
    if checkpoint is None:
        if config is None:
            raise UserError('give a config, a checkpoint, or both')
        print_log('no checkpoint is given: the weights are random', 'current', logging.WARNING)
        return None
    check_checkpoint(str(checkpoint), 'checkpoint')
    return load_checkpoint(str(checkpoint), map_location='cpu')


def _settle_config(config, checkpoint, content, cfg_options) -> Config:
    if isinstance(config, (str, os.PathLike)):
        return load_config(str(config), cfg_options)
    cfg = read_settings(content, str(checkpoint)) if config is None else config
    # because the pipeline, for example, is changed below
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(cfg_options or {})
    return cfg


def _build(cfg, content, checkpoint) -> nn.Module:
    if has_teacher(cfg.model):
        cfg.model.teacher = None
    # weights are the checkpoint's alone
    for _, node in walk(cfg.model):
        for key in ('init_cfg', 'pretrained'):
            if node.get(key) is not None:
                node[key] = None
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.cfg = cfg
    if content is not None:
        print_log(load_whole(model, content, str(checkpoint)), 'current')
    return model


def _find_metainfo(cfg, content, model) -> dict:
    """Find the classes: the checkpoint knows them best, then the data set of the config."""
    metainfo = dict(((content or {}).get('meta') or {}).get('dataset_meta') or {})
    if not metainfo.get('classes'):
        metainfo = {**_ask_data_set(cfg), **metainfo}
    classes = list(metainfo.get('classes') or ())
    number = _count_classes(model) or len(classes)
    if len(classes) != number:
        # a file without names, and a config of another set
        classes = [str(i) for i in range(number)]
    palette = metainfo.get('palette')
    if not isinstance(palette, (list, tuple)) or len(palette) < number:
        # the same colours each time
        palette = np.random.RandomState(0).randint(0, 256, (number, 3)).tolist()
    palette = [tuple(colour) for colour in palette]
    return {**metainfo, 'classes': tuple(classes), 'palette': palette}


def _ask_data_set(cfg) -> dict:
    """Return what the test set of a config says of its classes, without reading it."""
    for _, node in walk(cfg.get('test_dataloader') or {}):
        if node.get('pipeline') and node.get('type'):
            try:
                return DATASETS.build({**node, 'pipeline': [], 'lazy_init': True}).metainfo
            except TypeError:
                # one that is always read
                return {**DATASETS.get(node['type']).METAINFO, **(node.get('metainfo') or {})}
    return {}


def _count_classes(model) -> int:
    """Return the number of classes of a model's heads; 0 if they do not tell."""
    heads = [
        module.num_classes
        for name, module in model.named_modules()
        if re.search(r'(^|_|\.)head(\.\d+)?$', name)
        and not re.search(r'rpn|auxiliary', name)
        and isinstance(getattr(module, 'num_classes', None), int)
    ]
    return max(heads, default=0)
