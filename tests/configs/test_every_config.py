"""The rules that every config keeps, of every library."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import classification
import detection
import pytest
import rotated
import segmentation
import torch
from aerial import find_set
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.run import build_runner

FOLDER = detection.ROOT / 'configs'
# of the libraries of either distribution
DENSE = [*detection.CONFIGS, *segmentation.CONFIGS]
OTHERS = [*classification.CONFIGS, *rotated.CONFIGS]
CONFIGS = [*DENSE, *OTHERS]
# all sizes of a family get the same small arch, so `make test` trains the tiny one
SAME = re.compile(
    r'(.*_)?(sparx|sparx_swin|vmamba|vssd|groupmamba|plainmamba)_([msb]|iccv_.|l[23])(_.*)?'
)
# configs of aerial sets differ in the data: `make test` trains one of a set with lists and one without
SAME_DATA = re.compile(
    r'upernet_sparx_.*_\d+|.*_sparx_t_(potsdam|loveda)_\d+|.*_512'
    r'|.*unet_(potsdam|loveda|isaid)_\d+'
)


def _marks(path):
    same = SAME.fullmatch(path.stem) or SAME_DATA.fullmatch(path.stem)
    kinds = [pytest.mark.stack] if path in DENSE else []
    return [*kinds, pytest.mark.faults] if same else kinds


MARKED = [pytest.param(path, marks=_marks(path)) for path in CONFIGS]
BASES = {path for path in FOLDER.rglob('*.py') if '_base_' in path.parts}
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
# beside norms, the parameters without decay
SPARED = dict(
    SparXMamba={'A_log', 'D'},
    SparXSwin={'relative_position_bias_table'},
    VMamba={'A_log', 'D'},
    VSSD={'A_log', 'D'},
    GroupMamba={'A_log', 'D', 'skip_scale'},
    PlainMamba={'A_log', 'D', 'direction_Bs', 'pos_embed'},
    PlainMambaAdapter={'A_log', 'D', 'direction_Bs', 'pos_embed', 'level_embed', 'gamma'},
    VMUNetEncoder={'A_log', 'D'},
)
LOSSES = dict(
    retinanet={'loss_cls', 'loss_bbox'},
    mask_rcnn={'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'},
    semantic_fpn={'decode.loss_ce'},
    upernet={'decode.loss_ce', 'aux.loss_ce'},
    vmunet={'decode.loss_ce', 'decode.loss_dice'},
    cvmh_unet={'decode.loss_ce', 'decode.loss_dice'},
    classifier={'loss'},
    oriented_rcnn={'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'},
)


def _stem(path):
    return path.stem


@cache
def _load(path):
    return Config.fromfile(path)


def _bases(path):
    """Map folders to the names of a config's own bases."""
    return dict(re.findall(r"_base_/(\w+)/(\w+)\.py'", path.read_text()))


@pytest.mark.parametrize('path', CONFIGS, ids=_stem)
def test_configs_are_short(path):
    assert len(path.read_text().splitlines()) <= 25


@pytest.mark.parametrize('path', CONFIGS, ids=_stem)
def test_names_tell_head_network_and_schedule(path):
    bases = _bases(path)
    network = bases['backbones'].replace('sparx_mamba', 'sparx')
    head, rest = re.fullmatch(rf'(.*?)_?{network}_?(.*)', path.stem).groups()
    # a U-shaped segmentor is named by its backbone
    assert bases['models'].startswith(head or ('classifier' if rest == 'in1k' else network))
    # Semantic FPN and UperNet have one schedule each
    of_head = dict(semantic_fpn='80k', upernet='160k')
    if re.fullmatch(r'[a-z]+_\d+', rest):
        # an aerial set and the side of its crops
        assert bases['datasets'] == rest
        rest = '80k'
    schedule = dict(in1k='300e', shapes='demo', aerial='demo').get(rest, rest or of_head[head])
    assert bases['schedules'].endswith(f'_{schedule}')


def test_every_base_is_read():
    read = set()
    for path in set(FOLDER.rglob('*.py')) - BASES:
        # the text starts that of each file with its path
        read.update(map(Path, _load(path).text.splitlines()))
    assert not sorted(path.relative_to(FOLDER).as_posix() for path in BASES - read)


def test_drop_paths_are_in_the_bases_of_backbones():
    written = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob('*.py')
        if path.parent.name != 'backbones'
        and re.search(r'drop_path\w* ?= ?(dict|[\d.])', path.read_text())
    }
    # the same for all backbones
    assert written == {'mmseg/_base_/models/semantic_fpn.py'}


def _channels(backbone):
    """Look up the channels of the maps of a backbone, which tests of its family hold it to."""
    channels, _ = MODELS.get(backbone.type).map_channels(
        backbone.arch, backbone.get('out_indices', range(4))
    )
    return channels


@pytest.mark.parametrize('path', CONFIGS, ids=_stem)
def test_heads_have_the_channels_of_the_backbone(path):
    model = _load(path).model
    channels = _channels(model.backbone)
    expected = dict(neck=channels if len(channels) > 1 else channels[0], head=channels[-1])
    if 'auxiliary_head' in model:
        # UperNet, whose heads read the maps themselves
        index = model.auxiliary_head.in_index
        expected.update(decode_head=channels, auxiliary_head=channels[index])
    if model.get('decode_head', {}).get('type') == 'VMUNetHead':
        expected.update(decode_head=channels)
    found = {
        part: model[part][option]
        for part in expected
        for option in ('in_channels', 'backbone_channel')
        if option in model.get(part, ())
    }
    assert found and found == {part: expected[part] for part in found}


@pytest.mark.parametrize(
    'configs',
    [
        pytest.param(DENSE, id='dense', marks=pytest.mark.stack),
        pytest.param(OTHERS, id='others'),
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
    for hook in filter(None, cfg.default_hooks.values()):
        find(HOOKS, hook.type)
    for step in cfg.train_dataloader.dataset.pipeline:
        find(TRANSFORMS, step.type)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope='module', params=MARKED, ids=_stem)
def trained(request, shapes, ade, aerial, imagenet, dota, tmp_path_factory):
    """Make a config small and train a step: its path, runner and losses."""
    path = request.param
    made_by, data = dict(
        mmdet=(detection, shapes),
        mmseg=(segmentation, ade),
        mmpretrain=(classification, imagenet),
        mmrotate=(rotated, dota),
    )[path.parent.name]
    if 'shapes' in path.stem:
        data = shapes
    if find_set(path.stem):
        data = aerial / find_set(path.stem)
    torch.manual_seed(0)
    cfg = made_by.tiny_config(path, data, str(tmp_path_factory.mktemp('run')))
    runner = build_runner(cfg, ('train',))
    model = runner.model
    model.init_weights()
    model.train()
    batch = model.data_preprocessor(next(iter(runner.train_dataloader)), training=True)
    loss, logged = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    return path, runner, logged


def test_every_config_trains_a_step(trained):
    path, runner, logged = trained
    assert all(value.isfinite() for value in logged.values())
    (losses,) = (names for head, names in LOSSES.items() if _bases(path)['models'].startswith(head))
    assert losses <= set(logged)
    # distributed training refuses parameters without gradients
    assert not [
        name
        for name, parameter in runner.model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]


def test_every_parameter_has_its_decay(trained):
    _, runner, _ = trained
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
