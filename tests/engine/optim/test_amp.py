"""Mixed precision: its wrapper, its options, and training with it."""

import math
from copy import deepcopy
from importlib import import_module
from statistics import mean

import pytest
import torch
from archs import PICO, learnable
from detection import ROOT, tiny_config
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import BaseModel, BaseModule, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils.checkpoint import checkpoint

from sparx_mm import SparXMamba
from sparx_mm.demo import make_shapes
from sparx_mm.engine import BFloat16OptimWrapper
from sparx_mm.engine.optim import amp
from sparx_mm.errors import UserError
from sparx_mm.run import build_runner, destroy_distributed
from sparx_mm.run.preflight import check_training_device

DEMO = ROOT / 'configs/mmdet/mask_rcnn_sparx_demo_shapes.py'
DEVICE = get_device()


class _Part(BaseModule):
    """Hands on a product that autocast makes of 16 bits."""

    def __init__(self, dim=8):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.dtypes = []

    def forward(self, x):
        x = self.linear(x)
        self.dtypes.append(x.dtype)
        return dict(maps=(x, [x]), index=torch.arange(2), name='part')


class _Model(BaseModel):
    """A part, run directly or under activation checkpointing."""

    def __init__(self, with_cp=False):
        super().__init__()
        self.part = _Part()
        self.with_cp = with_cp
        self.given = []
        self.to(DEVICE)

    def forward(self, inputs, mode='tensor'):

        def run(x):
            out = self.part(x)
            self.given.append(out)
            # what follows a part sees its dtype
            return out['maps'][1][0].square().sin()

        if self.with_cp:
            x = checkpoint(run, inputs, use_reentrant=False)
        else:
            x = run(inputs)
        return dict(loss=x.mean())


def _wrapper(model, cls=BFloat16OptimWrapper, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return cls(optimizer=optimizer, **kwargs)


def _step(model, wrapper, x):
    return model.train_step(dict(inputs=x.to(DEVICE)), wrapper)


def test_parts_compute_in_bfloat16_and_hand_on_float32():
    torch.manual_seed(0)
    model = _Model()
    _step(model, _wrapper(model), torch.randn(4, 8))
    assert model.part.dtypes == [torch.bfloat16]
    (out,) = model.given
    assert out['maps'][0].dtype == out['maps'][1][0].dtype == torch.float32
    assert out['index'].dtype == torch.int64 and out['name'] == 'part'
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32


def test_nothing_stays_behind():
    model = _Model()
    wrapper = _wrapper(model)
    before = dict(torch_module._global_forward_hooks)
    _step(model, wrapper, torch.randn(4, 8))
    with pytest.raises(RuntimeError, match='shapes cannot be multiplied'):
        _step(model, wrapper, torch.randn(4, 7))
    assert dict(torch_module._global_forward_hooks) == before
    assert not any(m._forward_hooks for m in model.modules())
    # after the step, a model is as it was: inference in bfloat16 stays so
    model.bfloat16()
    out = model.part(torch.randn(4, 8).to(DEVICE, torch.bfloat16))
    assert out['maps'][0].dtype == torch.bfloat16


def test_activation_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    x, gradients = torch.randn(4, 8), []
    for with_cp in (False, True):
        torch.manual_seed(1)
        model = _Model(with_cp)
        # no update: the gradients of one step stay
        wrapper = _wrapper(model, accumulative_counts=2)
        _step(model, wrapper, x)
        gradients.append([p.grad for p in model.parameters()])
    assert len(model.part.dtypes) == 2
    for plain, checkpointed in zip(*gradients):
        assert torch.equal(plain, checkpointed)


def _dtypes_in_a_distributed_wrapper():
    model = MMDistributedDataParallel(_Model(), device_ids=None)
    _step(model, _wrapper(model), torch.randn(4, 8))
    (out,) = model.module.given
    return [*model.module.part.dtypes, out['maps'][0].dtype]


def test_in_a_distributed_wrapper(tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    try:
        dtypes = _dtypes_in_a_distributed_wrapper()
    finally:
        destroy_distributed()
    assert dtypes == [torch.bfloat16, torch.float32]


def test_accumulates_and_clips():
    torch.manual_seed(0)
    batches, weights = torch.randn(3, 4, 8), []
    for cls in (OptimWrapper, BFloat16OptimWrapper):
        torch.manual_seed(1)
        model = _Model()
        wrapper = _wrapper(
            model, cls, accumulative_counts=2, clip_grad=dict(max_norm=1e-3, norm_type=2)
        )
        wrapper.initialize_count_status(model, 0, 3)
        history = [model.part.linear.weight.detach().clone()]
        for batch in batches:
            _step(model, wrapper, batch)
            history.append(model.part.linear.weight.detach().clone())
        weights.append(history)
        # after two batches, and after the one that is left
        changed = [not torch.equal(*pair) for pair in zip(history, history[1:])]
        assert changed == [False, True, True]
        step = (history[2] - history[1]).norm()
        assert step <= 0.1 * 1e-3 * (1 + 1e-5)
    moves = [history[-1] - history[0] for history in weights]
    # gradients through a product of 8 bits
    assert (moves[0] - moves[1]).norm() < 0.05 * moves[0].norm()


@pytest.mark.parametrize(
    'before,after',
    [
        (BFloat16OptimWrapper, BFloat16OptimWrapper),
        (OptimWrapper, BFloat16OptimWrapper),
        (BFloat16OptimWrapper, OptimWrapper),
    ],
)
def test_resumes(before, after):
    torch.manual_seed(0)
    x, model = torch.randn(4, 8), _Model()
    wrapper = _wrapper(model, before)
    _step(model, wrapper, x)
    saved = wrapper.state_dict()
    other = _Model()
    other.load_state_dict(model.state_dict())
    resumed = _wrapper(other, after)
    resumed.load_state_dict(saved)
    momenta = [
        [w.optimizer.state[p]['momentum_buffer'] for p in m.parameters()]
        for w, m in ((wrapper, model), (resumed, other))
    ]
    for a, b in zip(*momenta):
        assert torch.equal(a, b) and a.any()


def _config(**wrapper):
    return Config(dict(optim_wrapper=dict(optimizer=dict(), **wrapper)))


@pytest.mark.parametrize(
    'device,dtype,wanted',
    [
        ('cpu', None, 'bfloat16'),
        ('cpu', 'bfloat16', 'bfloat16'),
        ('cuda', None, 'float16'),
        ('cuda', 'float16', 'float16'),
        ('cuda', 'bfloat16', 'bfloat16'),
    ],
)
@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='OptimWrapper'),
        dict(type='AmpOptimWrapper', loss_scale=512.0, dtype='bfloat16'),
    ],
)
def test_use_amp(monkeypatch, device, dtype, wanted, wrapper):
    monkeypatch.setattr('mmengine.device.utils.DEVICE', device)
    cfg = _config(**wrapper, accumulative_counts=2)
    amp.use_amp(cfg, dtype)
    kept = dict(optimizer=dict(), accumulative_counts=2)
    assert cfg.optim_wrapper == (
        dict(kept, type='BFloat16OptimWrapper')
        if wanted == 'bfloat16'
        else dict(kept, type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
    )
    check_training_device(cfg)


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('arch', [PICO, learnable(PICO)], ids=['length', 'learnable'])
def test_backbone_against_float64(arch, with_cp):
    torch.manual_seed(0)
    model = SparXMamba(arch, with_cp=with_cp)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter)
    images = torch.randn(2, 3, 64, 72)
    wanted = deepcopy(model).double()(images.double())
    model.to(DEVICE)
    with torch.autocast(DEVICE, torch.bfloat16):
        maps = model(images.to(DEVICE))
    for given, truth in zip(maps, wanted):
        # roundings of 2^-9 through some fifty operations: 1 to 3 in a hundred
        assert (given.cpu() - truth).norm() < 0.06 * truth.norm()
    sum(m.float().square().mean() for m in maps).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.isfinite().all(), name


def test_nothing_to_train():
    with pytest.raises(UserError, match='--amp needs an optim_wrapper'):
        amp.use_amp(Config())


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Draw a set of 8 training images of 64 px."""
    root = tmp_path_factory.mktemp('amp') / 'shapes'
    make_shapes(str(root), num_train=8, num_val=1, size=64)
    return root


def _detector(images, folder, dtype=None, **options):
    cfg = tiny_config(
        DEMO,
        images,
        str(folder),
        train_dataloader__batch_size=2,
        # large steps would let any rounding grow
        optim_wrapper__optimizer__lr=5e-4,
        # 13 epochs of 4 batches
        train_cfg__max_epochs=13,
        train_cfg__val_interval=100,
        default_hooks__checkpoint=None,
        **options,
    )
    if dtype is not None:
        amp.use_amp(cfg, dtype)
    return build_runner(cfg)


class _KeepLosses(Hook):
    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.losses.append({k: float(v.detach()) for k, v in outputs.items()})


def test_registered_in_the_root():
    assert OPTIM_WRAPPERS.get('BFloat16OptimWrapper') is BFloat16OptimWrapper


def test_what_mmcv_is_given(images, tmp_path, monkeypatch):
    runner = _detector(images, tmp_path, 'bfloat16')
    wrapper = runner.build_optim_wrapper(runner.cfg.optim_wrapper)
    assert type(wrapper) is BFloat16OptimWrapper
    model = runner.model
    model.init_weights()
    model.train()
    given, rois, computed = [], [], []

    def watch_align(module, args):
        given.append([t.dtype for t in args])
        rois.append(args[1])

    for layer in model.roi_head.bbox_roi_extractor.roi_layers:
        layer.register_forward_pre_hook(watch_align)
    model.backbone.stem[0].register_forward_hook(
        lambda module, args, output: computed.append(output.dtype)
    )
    rpn_head = import_module('mmdet.models.dense_heads.rpn_head')
    batched_nms = rpn_head.batched_nms

    def watch_nms(boxes, scores, *args, **kwargs):
        given.append([boxes.dtype, scores.dtype])
        return batched_nms(boxes, scores, *args, **kwargs)

    monkeypatch.setattr(rpn_head, 'batched_nms', watch_nms)
    batch = next(iter(runner.train_dataloader))
    loss = model.train_step(batch, wrapper)['loss']
    assert torch.isfinite(loss)
    assert computed == [torch.bfloat16]
    # NMS for each image, RoIAlign for each level that has boxes
    assert len(given) == 2 + len(rois) and rois
    for dtypes in given:
        assert dtypes == [torch.float32] * 2
    # float32 in name alone would still sit on the 8 bit grid
    boxes = torch.cat(rois)[:, 1:]
    assert not torch.equal(boxes, boxes.bfloat16().float())


@pytest.mark.slow
@pytest.mark.skipif(
    DEVICE == 'cuda' and not torch.cuda.is_bf16_supported(), reason='this GPU has no bfloat16'
)
def test_fifty_iterations_against_float32(images, tmp_path):
    runs = []
    for dtype in (None, 'bfloat16'):
        runner = _detector(
            images, tmp_path / str(dtype), dtype, randomness=dict(seed=0), log_level='ERROR'
        )
        hook = _KeepLosses()
        runner.register_hook(hook)
        runner.train()
        runs.append(hook.losses[:50])
    float32, bfloat16 = ([step['loss'] for step in run] for run in runs)
    assert len(float32) == len(bfloat16) == 50
    assert all(map(math.isfinite, [v for s in runs[1] for v in s.values()]))
    # another precision, the same weights and images: alike and not the same
    assert bfloat16[0] != float32[0]
    assert bfloat16[0] == pytest.approx(float32[0], rel=0.01)
    for losses in (float32, bfloat16):
        assert mean(losses[-10:]) < 0.8 * mean(losses[:10])
    assert mean(bfloat16[-10:]) == pytest.approx(mean(float32[-10:]), rel=0.05)
