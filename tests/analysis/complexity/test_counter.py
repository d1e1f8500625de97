"""The figures of the paper are what is counted, by part and by convention."""

import pytest
import torch
from archs import PICO
from detection import ROOT
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sparx_mm import SparXMamba, SparXSwin, VMamba
from sparx_mm.analysis import CONVENTIONS, count_complexity, load_model
from sparx_mm.analysis.paper.table import Classifier
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
CONFIG = str(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py')


def giga(macs):
    return round(macs / 1e9, 3)


def classifier(arch):
    return Classifier(dict(type='SparXMamba', arch=arch))


def paper_giga(model, side):
    # pooling, which dense models do without, counts 1 an element there
    pooled = model.fc.in_features * (side // 32) ** 2
    return giga(count_complexity(model, (side, side)).total().macs + pooled)


@pytest.mark.parametrize(
    'arch,paper,plain,params',
    [
        ('tiny', 5.247, 5.254, 27051794),
        ('small', 9.259, 9.260, 47444712),
        ('base', 15.895, 15.900, 83536168),
    ],
)
def test_classifiers(arch, paper, plain, params):
    model = classifier(arch)
    assert paper_giga(model, 224) == paper
    total = count_complexity(model, (224, 224), 'plain').total()
    assert giga(total.macs) == plain
    assert total.params == params


def test_sizes():
    """Table 15 of the paper."""
    model = classifier('tiny')
    counted = [paper_giga(model, side) for side in (384, 512, 640, 768, 1024)]
    assert counted == [15.419, 27.412, 42.831, 61.676, 109.646]


def test_a_published_detector_of_others():
    """Swin-T's Mask R-CNN: 267 G and 48 M; backbone to mask head."""
    options = {
        'model.backbone': dict(_delete_=True, type='SwinTransformer'),
        'model.neck.in_channels': [96, 192, 384, 768],
    }
    model, shape = load_model(CONFIG, options)
    counted = count_complexity(model, shape, 'plain')
    assert list(counted.parts) == [
        ('backbone',),
        ('neck',),
        ('rpn_head',),
        ('roi_head', 'bbox_head'),
        ('roi_head', 'mask_head'),
    ]
    macs = [round(part.macs / 1e9, 1) for part in counted.parts.values()]
    assert macs == [95.6, 53.1, 50.6, 14.3, 53.0]
    total = count_complexity(model, shape).total()
    assert round(total.macs / 1e9) == 267
    assert round(total.params / 1e6) == 48


def test_parts():
    model = SparXMamba('tiny')
    counted = count_complexity(model, (224, 224))
    kinds = ['projection', 'aggregator', 'mixer', 'ffn']
    # stage 0 has no ganglion layers, stage 3 has no others
    stages = [
        ['projection', 'mixer', 'ffn'],
        ['downsampling', *kinds],
        ['downsampling', *kinds],
        ['downsampling', *kinds[1:]],
    ]
    expected = [('stem',)]
    for i, inside in enumerate(stages):
        expected += [(f'stage {i}',)]
        expected += [(f'stage {i}', kind) for kind in inside]
    assert list(counted.parts) == [*expected, ('output norms',)]
    # by hand, of stage 0: two layers of C channels on L positions
    L, C, R, N = 56**2, 96, 6, 1
    D = 2 * C
    mixer = D * (25 + 4 * (R + 2 * N) + 4 * (9 * N + 1 + R) + 5 + C)
    assert counted.total('stage 0', 'mixer').macs == 2 * L * mixer
    assert counted.total('stage 0', 'projection').macs == 2 * L * C * D
    assert counted.total('stage 0', 'ffn').macs == 2 * L * 4 * C * (2 * C + 9)
    # position encoding and two norms
    rest = counted.parts['stage 0',]
    assert rest.macs == 2 * L * C * (9 + 5 + 5)
    assert rest.params == 2 * C * (10 + 2 + 2)
    # and of stage 3, whose shortcuts are scaled
    L, C = 7**2, 512
    rest = counted.parts['stage 3',]
    assert rest.macs == 2 * L * C * (9 + 5 + 5 + 2)
    assert rest.params == 2 * C * (10 + 2 + 2 + 2 * 2)
    names = dict.fromkeys(path[0] for path in counted.parts)
    whole = [counted.total(name) for name in names]
    assert sum(part.macs for part in whole) == counted.total().macs
    assert counted.total().params == sum(p.numel() for p in model.parameters())


def test_attention_of_mixers_always_counts():
    # of windows of 49 tokens; four projections of each token's channels
    L, C = 56**2, 96
    # but where layers of known types alone count
    for convention in set(CONVENTIONS) - {'layers'}:
        counted = count_complexity(SparXSwin(), (224, 224), convention)
        assert counted.total('stage 0', 'mixer').macs == 2 * L * C * (2 * 49 + C)


def test_conventions_differ_in_norms_and_attention():
    model = SparXMamba('tiny')
    names = ('paper', 'paper-attention', 'plain')
    paper, attentive, plain = (count_complexity(model, (224, 224), name) for name in names)
    L, C = 56**2, 96
    norms = 2 * L * C * (5 + 5)
    assert paper.total('stage 0').macs - plain.total('stage 0').macs == (norms + 2 * L * 2 * C * 5)
    # of stage 3: two ganglion layers with a source each and four groups of
    # channels; group norm and batch norm of the source, those of q, k and v
    L, C = 7**2, 512
    norms = 2 * L * C * (5 + 2 + 3 * 2)
    attention = 2 * (2 * L * C * C // 4)
    paper, attentive, plain = (
        each.total('stage 3', 'aggregator').macs for each in (paper, attentive, plain)
    )
    assert attentive - paper == attention
    assert attentive - plain == norms


def test_interpolation():
    model = nn.Sequential(nn.UpsamplingNearest2d((6, 5)), nn.UpsamplingBilinear2d((8, 9)))
    counted = {name: count_complexity(model, (4, 4), name).total().macs for name in CONVENTIONS}
    made = 3 * 6 * 5 + 4 * 3 * 8 * 9
    assert counted == dict.fromkeys(CONVENTIONS, 0) | {'paper-interpolation': made}


def test_layers_without_an_ffn():
    """Vanilla VMamba's: they have nothing beside mixer, projection and norm."""
    arch = dict(base='tiny-v0', embed_dims=(16, 24, 32, 40), depths=(1, 2, 3, 2))
    model = VMamba(arch)
    counted = count_complexity(model, (64, 64))
    kinds = ['projection', 'mixer']
    assert [path for path in counted.parts if path[0] == 'stage 1'] == [
        ('stage 1',),
        *(('stage 1', kind) for kind in ('downsampling', *kinds)),
    ]
    # by hand, of stage 1: two layers of C channels on L positions; D of the
    # scan and as many of the gate
    L, C, R, N = 8 * 8, 24, 2, 16
    D = 2 * C
    mixer = D * (9 + 4 * (R + 2 * N) + 4 * (9 * N + 1 + R) + 5 + C)
    assert counted.total('stage 1', 'mixer').macs == 2 * L * mixer
    assert counted.total('stage 1', 'projection').macs == 2 * L * C * 2 * D
    assert counted.parts['stage 1',].macs == 2 * L * C * 5
    assert counted.total().params == sum(p.numel() for p in model.parameters())


def test_shapes_count_as_data_does():
    model = SparXMamba(PICO).eval()
    counter = FlopCounterMode(
        display=False,
        custom_mapping={torch.ops.aten.addcmul: lambda *_, out_shape: 2 * out_shape.numel()},
    )
    with torch.no_grad(), counter:
        model(torch.rand(1, 3, 47, 66))
    total = count_complexity(model, (47, 66), 'plain').total()
    assert 2 * total.macs == counter.get_total_flops() > 0


def test_what_only_training_runs():
    model, shape = load_model(str(ROOT / 'configs/mmseg/upernet_sparx_t.py'))
    counted = count_complexity(model, shape)
    head = counted.total('auxiliary_head')
    assert head.macs == 0 and not head.runs
    assert head.params == sum(p.numel() for p in model.auxiliary_head.parameters())
    assert counted.total('decode_head').runs


def test_the_type_of_the_parameters_does_not_matter():
    model = SparXMamba(PICO)
    counted = count_complexity(model, (32, 32))
    assert count_complexity(model.double(), (32, 32)) == counted


def test_what_is_shared_counts_once():
    """Each time that it runs, and its parameters once."""
    shared = nn.Linear(8, 8, bias=False)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False), nn.Flatten(2), nn.Linear(8, 8, bias=False), shared, shared
    )
    model[2].weight = shared.weight
    total = count_complexity(model, (2, 4), 'plain').total()
    assert total.params == 3 * 8 + 64
    assert total.macs == 8 * 3 * 8 + 3 * 8 * 64


def test_mistakes():
    with pytest.raises(UserError, match='at least 1, got 0 8'):
        count_complexity(nn.Conv2d(3, 8, 1), (0, 8))
    with pytest.raises(ValueError, match="'plain'], got 'flops'"):
        count_complexity(nn.Conv2d(3, 8, 1), (8, 8), 'flops')
