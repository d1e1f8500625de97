"""The configs of docs/other_tasks.md: what they change, and that they run."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from archs import PICO, PICO_SWIN
from detection import ROOT
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from sparx_mm import VSSD, GroupMamba, SparXMamba, SparXSwin, VMamba
from sparx_mm.analysis import count_complexity
from sparx_mm.config_nodes import walk

PAGE = (ROOT / 'docs/other_tasks.md').read_text()
*CONFIGS, OPTIMIZER = re.findall(r'^```python\n(.*?)^```', PAGE, re.M | re.S)
ZOOS = {
    family.__name__: family.arch_zoo for family in (SparXMamba, SparXSwin, VMamba, VSSD, GroupMamba)
}
PICOS = dict(SparXMamba=PICO, SparXSwin=PICO_SWIN)
# what a model's numbers come down to in a test; scores of 0: heads that are
# not trained are sure of nothing
MOST = dict(
    num_queries=20, num_layers=2, num_points=256, num=32, nms_pre=50, max_per_img=20, score_thr=0.0
)


def _base(text):
    return re.search(r"^_base_ = '(.*)'$", text, re.M)[1]


def _folder(text):
    """The name of a method, which is its folder among the configs."""
    return re.split('[:/]', _base(text))[-2]


@pytest.fixture
def load(tmp_path):
    """A function that loads config text from a folder with a clone."""
    installed = Path(find_spec('mmseg').origin).parent / '.mim/configs'
    clone = tmp_path / 'mmsegmentation'
    clone.mkdir()
    (clone / 'configs').symlink_to(installed)

    def load(text):
        (tmp_path / 'config.py').write_text(text)
        return Config.fromfile(tmp_path / 'config.py')

    return load


def test_the_page_shows_these():
    assert [_folder(text) for text in CONFIGS] == [
        'retinanet',
        'cascade_rcnn',
        'dino',
        'segformer',
        'mask2former',
        'sem_fpn',
    ]


def test_the_pages_table_is_that_of_the_archs():
    rows = re.findall(r'^\| (?:`(\w+)`)? *\| `(\w+)` \| ([\d ]+) \|$', PAGE, re.M)
    family, shown = None, {}
    for name, arch, channels in rows:
        family = name or family
        shown[family, arch] = tuple(map(int, channels.split()))
    assert shown == {
        (family, arch): zoo[arch]['embed_dims']
        for family, zoo in ZOOS.items()
        for arch in zoo
        if '-' not in arch
    }


@pytest.mark.stack
@pytest.mark.parametrize('text', CONFIGS, ids=_folder)
def test_backbone_and_channels_are_all_that_changes(text, load):
    cfg, base = load(text), load(f"_base_ = '{_base(text)}'\n")
    backbone = cfg.model.pop('backbone')
    assert base.model.pop('backbone').type not in ZOOS
    dims = ZOOS[backbone.type][backbone.arch]['embed_dims']
    read = [dims[i] for i in backbone.get('out_indices', range(4))]
    part = 'neck' if 'neck' in base.model else 'decode_head'
    assert cfg.model[part].in_channels == read
    # the stages whose maps are read, by their channels or by the neck
    for key in ('in_channels', 'start_level'):
        cfg.model[part].pop(key, None)
        base.model[part].pop(key, None)
    # weights of the base's backbone
    assert cfg.model.pop('pretrained', None) is None
    base.model.pop('pretrained', None)
    assert cfg.model == base.model
    named = base.get('custom_imports', {}).get('imports', [])
    named = [named] if isinstance(named, str) else named
    assert cfg.custom_imports.imports == [*named, 'sparx_mm']


def _shrink(model, family):
    """Make a model small, with a backbone of a family."""
    dims = PICO['embed_dims']
    backbone = model.backbone
    backbone.update(type=family, arch=dict(PICOS[family]))
    part = model.get('neck') or model.decode_head
    part.in_channels = [dims[i] for i in backbone.get('out_indices', range(4))]
    if 'size' in model.data_preprocessor:
        model.data_preprocessor.size = (64, 64)
    for _, cfg in walk(model):
        for key in set(MOST) & set(cfg):
            cfg[key] = min(cfg[key], MOST[key])


def _detected(size):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    boxes = torch.tensor([[4.0, 8.0, 30.0, 40.0], [20.0, 10.0, 45.0, 36.0]])
    masks = torch.zeros(2, *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int()):
        mask[top:bottom, left:right] = 1
    sample = DetDataSample(
        metainfo=dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    )
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.tensor([3, 71]), masks=BitmapMasks(masks.numpy(), *size)
    )
    return sample


def _segmented(size):
    from mmseg.structures import SegDataSample

    labels = torch.full((1, *size), 255)
    labels[:, 4:40, 8:30] = 149
    labels[:, 10:36, 30:45] = 0
    sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
    sample.gt_sem_seg = PixelData(data=labels)
    return sample


def _batch(scope, *sizes):
    make = dict(mmdet=_detected, mmseg=_segmented)[scope]
    return dict(
        inputs=[torch.randint(256, (3, *size)) for size in sizes],
        data_samples=[make(size) for size in sizes],
    )


@pytest.mark.stack
@pytest.mark.parametrize('family', PICOS)
@pytest.mark.parametrize('text', CONFIGS, ids=_folder)
def test_trains_and_predicts(text, family, load):
    torch.manual_seed(0)
    cfg = load(text)
    scope = cfg.default_scope
    init_default_scope(scope)
    _shrink(cfg.model, family)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()

    model.train()
    batch = model.data_preprocessor(_batch(scope, (64, 64), (64, 64)), training=True)
    loss, _ = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    assert loss.isfinite()
    assert not [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert all(
        parameter.grad.isfinite().all() and parameter.grad.any()
        for parameter in model.backbone.stem.parameters()
    )

    model.eval()
    size = (50, 70)
    with torch.no_grad():
        (sample,) = model.test_step(_batch(scope, size))
    if scope == 'mmseg':
        assert sample.pred_sem_seg.shape == size
        logits = sample.seg_logits.data
        assert logits.shape == (150, *size) and logits.isfinite().all()
        return
    found = sample.pred_instances
    assert len(found) and found.bboxes.isfinite().all()
    assert found.bboxes.shape == (len(found), 4)
    assert ((found.scores > 0) & (found.scores <= 1)).all()
    assert ((found.labels >= 0) & (found.labels < 80)).all()
    if 'mask_head' in cfg.model.get('roi_head', ()):
        assert found.masks.shape == (len(found), *size)


@pytest.mark.stack
@pytest.mark.parametrize('text', [CONFIGS[0], CONFIGS[2], CONFIGS[4]], ids=_folder)
def test_its_cost_is_counted(text, load):
    """On one image; of DINO and Mask2Former by running them."""
    cfg = load(text)
    init_default_scope(cfg.default_scope)
    _shrink(cfg.model, 'SparXMamba')
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    counted = count_complexity(model, (64, 96), 'plain')
    backbone = count_complexity(model.backbone, (64, 96), 'plain').total()
    assert counted.total('backbone').macs == backbone.macs > 0
    assert ('ran on the CPU' in counted.rules) == (_folder(text) in ('dino', 'mask2former'))
    # all else that inference runs
    heads = [
        path for path, part in counted.parts.items() if part.macs and path[:1] != ('backbone',)
    ]
    assert heads and counted.total().macs > backbone.macs
    after = model.state_dict()
    assert all(torch.equal(after[k].nan_to_num(), v.nan_to_num()) for k, v in tensors.items())


@pytest.mark.stack
def test_optimizer(load):
    cfg = load(CONFIGS[0] + OPTIMIZER)
    ours = Config.fromfile(ROOT / 'configs/_base_/schedules/adamw.py')
    shown, recipe = cfg.optim_wrapper, ours.optim_wrapper
    assert shown.optimizer == recipe.optimizer
    for key, value in shown.paramwise_cfg.items():
        assert value == recipe.paramwise_cfg[key], key
    init_default_scope(cfg.default_scope)
    _shrink(cfg.model, 'SparXMamba')
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, shown).optimizer
    decays = {
        id(parameter): group['weight_decay']
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    named = dict(model.named_parameters())
    for name, decay in {
        'backbone.stem.0.weight': 0.05,
        'backbone.stages.0.layers.0.mixer.D': 0,
        'backbone.norms.1.weight': 0,
        'bbox_head.retina_cls.weight': 0.05,
    }.items():
        assert decays[id(named[name])] == decay, name
