"""`init_cfg=dict(type='PretrainedSwin', ...)`: what a plain Swin shares."""

import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.registry import MODELS, DefaultScope
from plain_swin import mm_names, to_original, to_timm

from sparx_mm import SparXMamba, SparXSwin, VMamba
from sparx_mm.backbones.pretrained import PretrainedSwinInit
from sparx_mm.state_dicts import CoverageError, resize_position_table

# a Swin, and the same layers with two ganglions and another last stage
PLAIN = dict(
    embed_dims=(8, 16, 32, 64),
    depths=(2, 2, 3, 2),
    mixer=dict(num_heads=(1, 2, 4, 8), window_size=3),
)
SPARSE = dict(
    PLAIN,
    embed_dims=(8, 16, 32, 48),
    depths=(2, 2, 2, 2),
    connections=dict(
        strides=(1, 1, 2, 1), starts=(None, 1, 1, None), windows=(None, None, None, None)
    ),
)
# of a layer, what belongs together
ATTENTION = (
    'norm1.weight',
    'norm1.bias',
    'proj.weight',
    'proj.bias',
    'mixer.relative_position_bias_table',
    'mixer.out_proj.weight',
    'mixer.out_proj.bias',
)
# stages 48, 24, 12 and 6 wide: whole windows, and more than one of them
IMAGE = 192


@pytest.fixture(scope='module')
def plain():
    """The state dict of a Swin, with OpenMMLab's names."""
    torch.manual_seed(0)
    return {
        k: 0.3 * torch.randn(shape)
        for k, shape in mm_names(PLAIN['depths'], PLAIN['embed_dims']).items()
    }


@pytest.fixture
def start(tmp_path):
    """Write a file and start a backbone from it."""

    def run(weights, arch=PLAIN, backbone=SparXSwin, **kwargs):
        path = tmp_path / 'swin.pth'
        torch.save(weights, path)
        init_cfg = dict(type='PretrainedSwin', checkpoint=str(path), **kwargs)
        model = backbone(arch, init_cfg=init_cfg).eval()
        model.before = {k: v.clone() for k, v in model.state_dict().items()}
        model.init_weights()
        assert model.init_cfg == init_cfg
        return model

    return run


def changed(model):
    """Names of the tensors that are not as they were built."""
    return {k for k, v in model.state_dict().items() if not v.equal(model.before[k])}


def test_weighted_inputs_are_no_other_parts(plain, start):
    model = start(plain, dict(PLAIN, inputs='weighted'))
    assert changed(model) == changed(start(plain))
    assert any('weighted_sum' in name for name in model.before)


@pytest.mark.stack
@pytest.mark.parametrize(
    'nest',
    [
        lambda w: w,
        lambda w: dict(state_dict=w, meta={}),
        lambda w: dict(model=to_original(w), epoch=299),
        to_timm,
    ],
)
def test_it_computes_what_mmdet_does(nest, plain, start):
    from mmdet.models import SwinTransformer

    swin = SwinTransformer(
        embed_dims=8, depths=PLAIN['depths'], num_heads=PLAIN['mixer']['num_heads'], window_size=3
    )
    left = swin.load_state_dict(plain, strict=False)
    assert not left.unexpected_keys
    assert all('position_index' in key for key in left.missing_keys)
    for i in range(4):
        # an output norm of ours adds less
        getattr(swin, f'norm{i}').eps = 1e-6
    model = start(nest(plain))
    image = torch.rand(2, 3, IMAGE, IMAGE, dtype=torch.float64)
    # its eval() returns nothing
    swin.double().eval()
    with torch.no_grad():
        expected = swin(image)
        maps = model.double()(image)
    for ours, theirs in zip(maps, expected):
        assert theirs.std() > 0.1
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.stack
def test_mmdet_reads_the_original_names_likewise(plain):
    """Those that are made here, that is."""
    from mmdet.models.backbones.swin import swin_converter

    read = swin_converter(to_original(plain))
    assert read.keys() == {f'backbone.{name}' for name in plain}
    assert all(read[f'backbone.{k}'].equal(v) for k, v in plain.items())


@pytest.mark.stack
def test_mmseg_has_the_same_names():
    from mmseg.models.backbones import SwinTransformer

    swin = SwinTransformer(
        embed_dims=8, depths=PLAIN['depths'], num_heads=(1, 2, 4, 8), window_size=3
    )
    assert mm_names(PLAIN['depths'], PLAIN['embed_dims']) == {
        name: tuple(value.shape)
        for name, value in swin.state_dict().items()
        if 'position_index' not in name
    }


def test_names_of_all_layouts_lead_to_the_same(plain, start):
    expected = start(plain).state_dict()
    assert len(expected) == len(plain)
    classifier = {k: v for k, v in plain.items() if not re.match('norm[012]', k)}
    mmpretrain = {f'backbone.{k}': v for k, v in classifier.items()}
    mmpretrain['head.fc.bias'] = torch.rand(1000)
    original = {k.replace('norm3.', 'norm.'): v for k, v in to_original(classifier).items()}
    original['layers.0.blocks.1.attn_mask'] = torch.zeros(4, 9, 9)
    for weights, prefix in (
        (mmpretrain, 'backbone.'),
        (mmpretrain, 'backbone'),
        (dict(model=original), None),
    ):
        model = start(weights, prefix=prefix)
        for name, value in model.state_dict().items():
            if not re.match(r'norms\.[012]', name):
                assert value.equal(expected[name]), name


def test_what_sparx_swin_takes(plain, start, tmp_path):
    log = tmp_path / 'log'
    MMLogger.get_instance('test', log_file=str(log))
    model = start(dict(plain, **{'head.weight': torch.rand(9, 64)}), SPARSE)
    loaded = changed(model)
    own = model.state_dict()
    assert (
        own['stages.1.layers.1.mixer.out_proj.weight']
        .squeeze()
        .equal(plain['stages.1.blocks.1.attn.w_msa.proj.weight'])
    )
    # of the ganglions all but what their aggregator does
    ganglions = ('stages.1.layers.1.proj.', 'stages.2.layers.1.proj.')
    expected = {
        k for k in own if not k.startswith((*ganglions, 'downsamples.2', 'stages.3', 'norms.3'))
    }
    assert loaded == expected
    text = log.read_text()
    count = sum(1 for _ in model.parameters())
    assert (f'SparXSwin: {tmp_path}/swin.pth: {len(expected)} of {count} tensors loaded (') in text
    assert 'stages.0 26/26, stages.1 24/' in text
    assert 'downsamples 6/9' in text and 'norms 6/8' in text
    assert 'of another shape: downsamples.2.reduction.weight, ' in text
    assert '(64, 128, 1, 1) instead of (48, 128, 1, 1)' in text
    assert 'left with those: downsamples.2.norm.weight' in text
    assert 'not in the file: stages.*.layers.1.proj.source_norm.' in text
    # two qkv, the third layer of stage 2, the head
    assert 'not used: stages.*.layers.*.proj.weight (3)' in text


def test_a_part_is_taken_whole_or_not(plain, start):
    """The table and the norm of an attention that does not fit."""
    other = dict(plain)
    name = 'stages.0.blocks.0.attn.w_msa.qkv.weight'
    other[name] = plain[name].repeat(2, 1)
    model = start(other)
    left = set(model.state_dict()) - changed(model)
    assert left == {f'stages.0.layers.0.{name}' for name in ATTENTION}


def test_other_mixers_take_no_attention(plain, start):
    arch = dict(
        SPARSE,
        mixer=dict(type='SSM'),
        ffn=dict(type='MLP'),
        norm=dict(type='LN2d'),
        stem=dict(type='PatchEmbed'),
        downsample=dict(type='PatchMerging'),
    )
    loaded = changed(start(plain, arch, SparXMamba))
    assert 'stem.proj.weight' in loaded and 'downsamples.0.norm.bias' in loaded
    layers = {k for k in loaded if k.startswith('stages.')}
    assert layers and not [k for k in layers if not re.search('norm2|ffn', k)]
    # nor a feed-forward network with a convolution more
    loaded = changed(start(plain, dict(arch, ffn=dict(type='ConvFFN')), SparXMamba))
    assert not [k for k in loaded if k.startswith('stages.')]


def test_windows_of_another_size(plain, start, tmp_path):
    log = tmp_path / 'log'
    MMLogger.get_instance('test', log_file=str(log))
    arch = dict(PLAIN, mixer=dict(PLAIN['mixer'], window_size=5))
    own = start(plain, arch).state_dict()
    name = 'relative_position_bias_table'
    table = own[f'stages.2.layers.1.mixer.{name}']
    assert table.shape == (81, 4)
    assert table.equal(resize_position_table(plain[f'stages.2.blocks.1.attn.w_msa.{name}'], 81))
    assert f'resized: stages.*.layers.*.mixer.{name} (9)' in log.read_text()


def test_attention_of_other_heads_is_left(plain, start):
    heads = dict(PLAIN['mixer'], num_heads=(2, 2, 4, 8))
    model = start(plain, dict(PLAIN, mixer=heads))
    left = set(model.state_dict()) - changed(model)
    assert left == {f'stages.0.layers.{i}.{name}' for i in range(2) for name in ATTENTION}


@pytest.mark.parametrize('kind', ['PretrainedSwin', PretrainedSwinInit])
def test_it_comes_after_other_initialisations(kind, plain, tmp_path):
    path = tmp_path / 'swin.pth'
    torch.save(plain, path)
    swin = dict(type=kind, checkpoint=str(path))
    zeros = dict(type='Constant', layer='Conv2d', val=0.0)
    for cfgs in ([zeros, swin], [swin, zeros]):
        model = SparXSwin(SPARSE, init_cfg=cfgs)
        model.init_weights()
        assert model.init_cfg == cfgs
        assert model.stem.proj.weight.equal(plain['patch_embed.projection.weight'])
        assert not model.downsamples[2].reduction.weight.any()


@pytest.mark.stack
def test_inside_a_model_of_another_scope(plain, tmp_path):
    path = tmp_path / 'swin.pth'
    torch.save(plain, path)

    class Detector(BaseModule):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.backbone = MODELS.build(
                dict(
                    type='SparXSwin',
                    arch=SPARSE,
                    init_cfg=dict(type='PretrainedSwin', checkpoint=str(path)),
                )
            )

    with DefaultScope.overwrite_default_scope('mmdet'):
        model = Detector()
        model.init_weights()
    assert model.backbone.stem.proj.weight.equal(plain['patch_embed.projection.weight'])
    whole = Detector(init_cfg=model.backbone.init_cfg)
    with pytest.raises(CoverageError, match='not Detector: give it in model'):
        whole.init_weights()


@pytest.mark.parametrize(
    'weights,prefix,message',
    [
        (
            lambda w: {f'backbone.{k}': v for k, v in w.items()},
            None,
            "it has no plain Swin without a prefix; did you mean prefix='backbone.'",
        ),
        (
            lambda w: w,
            'backbone.',
            "it has no plain Swin under prefix 'backbone.'; did you mean prefix=None?",
        ),
        (
            lambda w: {'layer1.0.conv1.weight': torch.rand(3, 3)},
            None,
            'it holds no plain Swin; its tensors are layer1.0.conv1.weight',
        ),
        (
            lambda w: {f'backbone.{k}': v for k, v in SparXSwin(PLAIN).state_dict().items()},
            None,
            "this is a SparX file, and type='PretrainedSwin' reads a plain Swin: init_cfg=dict("
            "type='Pretrained', checkpoint=FILE, prefix='backbone.') loads all of a file of the "
            "model's family",
        ),
        (
            lambda w: {
                k: torch.rand(s) for k, s in mm_names((2, 2, 18, 2), (16, 40, 80, 160)).items()
            },
            None,
            'nothing of this plain Swin fits: it has layers and channels 2x16 2x40 '
            '18x80 2x160 by stage, the model 2x8 2x16 3x32 2x64',
        ),
        (
            lambda w: {k: v / 0 for k, v in w.items()},
            None,
            'it has NaN or infinity in stem.proj.weight',
        ),
    ],
)
def test_errors_name_the_file(weights, prefix, message, plain, start, tmp_path):
    with pytest.raises(CoverageError) as error:
        start(weights(plain), prefix=prefix)
    assert str(error.value).startswith(f'{tmp_path}/swin.pth: {message}')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('layout', [lambda w: w, to_original])
def test_a_plain_swin_is_not_taken_for_all_of_the_model(layout, plain, tmp_path):
    path = tmp_path / 'swin.pth'
    torch.save({f'backbone.{k}': v for k, v in layout(plain).items()}, path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    with pytest.raises(CoverageError) as error:
        SparXSwin(PLAIN, init_cfg=init_cfg).init_weights()
    assert str(error.value) == (
        f'{path}: this is a plain Swin file, the model is SparX: init_cfg=dict('
        "type='PretrainedSwin', checkpoint=FILE, prefix='backbone.') takes what matches"
    )
    mamba = dict(PLAIN, mixer=dict(type='SS2D'))
    for backbone, family in ((SparXMamba, 'SparX'), (VMamba, 'VMamba')):
        with pytest.raises(CoverageError) as error:
            backbone(mamba, init_cfg=init_cfg).init_weights()
        assert str(error.value) == (
            f'{path}: this is a plain Swin file, the model is {family}: give a file of {family}'
        )


def test_original_names_are_not_loaded_as_they_are(plain):
    """Of patch merging, values in another order would go unnoticed."""
    model = SparXSwin(PLAIN)
    weights = {k: v for k, v in to_original(plain).items() if '.blocks.' not in k}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    left = model.load_state_dict(weights, strict=False)
    assert left.unexpected_keys == list(weights)
    assert all(v.equal(before[k]) for k, v in model.state_dict().items())
