"""Checks of every config, of every library."""

import subprocess
import sys

import classification
import detection
import pytest
import rotated
import segmentation
from torch import nn

from sparx_mm.run import build_runner, load_config

# of the libraries of either distribution
DENSE = [*detection.CONFIGS, *segmentation.CONFIGS]
CONFIGS = [*DENSE, *classification.CONFIGS, *rotated.CONFIGS]
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
# beside norms, the parameters without decay
SPARED = dict(SparXMamba={'A_log', 'D'}, SparXSwin={'relative_position_bias_table'})


def _ids(path):
    return path.stem


@pytest.fixture
def build(shapes, ade, imagenet, dota, tmp_path):
    """A function that builds the runner of a config, made small."""

    def build(path):
        made_by, data = {
            'mmdet': (detection, shapes),
            'mmseg': (segmentation, ade),
            'mmpretrain': (classification, imagenet),
            'mmrotate': (rotated, dota),
        }[path.parent.name]
        if 'shapes' in path.stem:
            data = shapes
        return build_runner(made_by.tiny_config(path, data, str(tmp_path)))

    return build


@pytest.mark.parametrize('path', CONFIGS, ids=_ids)
def test_leaves_are_short(path):
    assert len(path.read_text().splitlines()) <= 25


@pytest.mark.parametrize('path', CONFIGS, ids=_ids)
def test_runtime(path):
    cfg = load_config(str(path))
    assert cfg.default_scope == path.parent.name
    assert cfg.custom_imports == dict(
        imports=['sparx_mm', 'sparx_mm.engine'], allow_failed_imports=False
    )
    assert cfg.default_hooks.checkpoint.max_keep_ckpts >= 2
    assert cfg.env_cfg.mp_cfg == dict(mp_start_method='fork', opencv_num_threads=0)


@pytest.mark.parametrize(
    'configs',
    [
        pytest.param(DENSE, id='dense', marks=pytest.mark.stack),
        pytest.param(classification.CONFIGS, id='classification'),
        pytest.param(rotated.CONFIGS, id='rotated'),
    ],
)
def test_other_programs_find_what_a_config_names(configs):
    code = f"""
from mmengine.config import Config
from mmengine.registry import (HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS,
                               TRANSFORMS, init_default_scope)

def find(registry, name):
    with registry.switch_scope_and_registry(None) as scoped:
        assert scoped.get(name) is not None, name

for path in {[str(path) for path in configs]}:
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    find(MODELS, cfg.model.backbone.type)
    find(OPTIM_WRAPPER_CONSTRUCTORS, cfg.optim_wrapper.constructor)
    if 'neck' in cfg.model:
        find(MODELS, cfg.model.neck.type)
    for hook in cfg.default_hooks.values():
        find(HOOKS, hook.type)
    for step in cfg.train_dataloader.dataset.pipeline:
        find(TRANSFORMS, step.type)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('path', CONFIGS, ids=_ids)
def test_every_parameter_has_its_decay(path, build):
    runner = build(path)
    wrapper = runner.cfg.optim_wrapper
    optimizer = runner.build_optim_wrapper(wrapper).optimizer
    decay = {
        id(p): group['weight_decay'] for group in optimizer.param_groups for p in group['params']
    }
    of_norms = {
        id(p)
        for module in runner.model.modules()
        if isinstance(module, NORMS)
        for p in module.parameters(recurse=False)
    }
    spared = SPARED[runner.cfg.model.backbone.type]
    found = set()
    for name, parameter in runner.model.named_parameters():
        leaf = name.split('.')[-1]
        if leaf in spared:
            found.add(leaf)
        free = id(parameter) in of_norms or leaf in spared
        assert decay.pop(id(parameter)) == (0 if free else wrapper.optimizer.weight_decay), name
    assert found == spared
    # no parameter twice, none that is not the model's
    assert not decay
