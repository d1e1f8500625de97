"""VM-UNet and CVMH-UNet as segmentors of mmseg: the official outputs, any size, training."""

from types import SimpleNamespace

import deterministic
import pytest
import torch
import vmunet
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn.modules.batchnorm import _BatchNorm

from sparx_mm.checkpoint_io import load_checkpoint
from sparx_mm.checkpoint_io.convert import convert_checkpoint
from sparx_mm.engine.hooks.coverage import load_whole
from sparx_mm.errors import ConfigError, UserError
from sparx_mm.export.network import make_network
from sparx_mm.state_dicts import VMUNET as KEY_MAP
from sparx_mm.state_dicts import CoverageError, find_families

pytestmark = pytest.mark.stack
# the references were stored in float32; that rounding is below 1e-6
TOLERANCES = {torch.float64: 5e-6, torch.float32: 1e-4}
PICOS = [
    pytest.param(vmunet.PICO, 'Add', id='vmunet'),
    pytest.param(vmunet.PICO_CVSS, 'MFMS', id='cvmh'),
]
# the same network on another size
LARGER = [pytest.param(96, 64, marks=pytest.mark.faults)]


def pico(arch, fusion, **kwargs):
    torch.manual_seed(0)
    model = vmunet.segmentor(arch, fusion, **kwargs)
    # batch norms of random weights on maps of few pixels say nothing
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5)
    return model


def images(*size, batch=2):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def losses(model, *size):
    """Losses of a batch with labels of which some are ignored."""
    torch.manual_seed(3)
    samples = []
    for _ in range(2):
        labels = torch.randint(6, (1, *size))
        labels[:, :2] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    return model.loss(images(*size), samples)


@pytest.fixture(scope='module')
def official():
    """VM-UNet of full size, whose encoder returns F1 too."""
    with torch.device('meta'):
        model = vmunet.segmentor(skips=4, head=dict(in_index=[1, 2, 3, 4]), read=3)
    return model.to_empty(device='cpu').eval()


@pytest.mark.parametrize('name, faint', [('seg', False), ('faint', True)])
@torch.no_grad()
def test_the_official_maps(official, name, faint):
    text = load_whole(official, dict(state_dict=vmunet.official_state(faint)), 'vmunet.pth')
    assert text == 'vmunet.pth: 222 of 222 tensors loaded'
    expected = vmunet.golden(f'{name}_6_32x64')
    image = torch.from_numpy(deterministic.make_input('vmunet', 32, 64))
    found, hooks = {}, []
    for i, level in enumerate(official.decode_head.levels):

        def keep(module, args, out, key=f'dec{i}'):
            found[key] = out

        hooks.append(level.register_forward_hook(keep))
    for dtype, tolerance in TOLERANCES.items():
        model = official.to(dtype)
        maps = model.extract_feat(image.to(dtype))
        found.update({f'enc{i}': one for i, one in enumerate(maps)})
        found['logits'] = model.decode_head(maps)
        assert found.keys() == expected.keys()
        for key, wanted in expected.items():
            assert (found[key] - wanted).abs().max() < tolerance, (dtype, key)
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize('height, width', LARGER)
@torch.no_grad()
def test_the_official_logits_of_a_larger_image(official, height, width):
    load_whole(official.float(), dict(state_dict=vmunet.official_state()), 'vmunet.pth')
    image = torch.from_numpy(deterministic.make_input('vmunet', height, width))
    wanted = vmunet.golden(f'seg_6_{height}x{width}')['logits']
    for dtype, tolerance in TOLERANCES.items():
        logits = official.to(dtype).encode_decode(
            image.to(dtype), [dict(img_shape=(height, width), ori_shape=(height, width))]
        )
        assert (logits - wanted).abs().max() < tolerance, dtype


def test_official_files_are_converted_there_and_back(tmp_path):
    paths = [str(tmp_path / name) for name in ('official.pth', 'own.safetensors', 'back.pth')]
    names = [name for name, *_ in vmunet.manifest()]
    assert find_families(names) == {'vmunet.': KEY_MAP}
    # small tensors of as many axes, distinct in every element
    state = {
        name: torch.arange(4 ** len(shape)).view([4] * len(shape)).float()
        for name, shape, _ in vmunet.manifest()
    }
    torch.save(state, paths[0])
    with pytest.raises(UserError, match='which is of mmseg: give --to mmseg'):
        convert_checkpoint(*paths[:2], 'mmpretrain')
    text = convert_checkpoint(*paths[:2], 'mmseg')
    assert text.endswith("mmseg names of the backbone under 'backbone.'")
    with torch.device('meta'):
        model = vmunet.segmentor()
    own = load_checkpoint(paths[1], 'cpu')['state_dict']
    assert own.keys() == model.state_dict().keys()
    convert_checkpoint(*paths[1:], 'released')
    back = load_checkpoint(paths[2], 'cpu')['state_dict']
    assert back.keys() == state.keys()
    assert all(back[name].equal(value) for name, value in state.items())


@pytest.mark.tries('a VM-UNet or VMamba file that does not fit')
def test_files_that_do_not_fit(tmp_path):
    state = dict(vmunet.official_state())
    with torch.device('meta'):
        model = vmunet.segmentor(num_classes=5)
    with pytest.raises(CoverageError, match=r'\(6, 24, 1, 1\) instead of \(5, 24, 1, 1\)'):
        load_whole(model, dict(state_dict=state), 'vmunet.pth')
    state.pop('vmunet.layers_up.2.blocks.1.self_attention.Ds')
    with torch.device('meta'):
        model = vmunet.segmentor()
    with pytest.raises(CoverageError, match='decode_head.levels.2.layers.1.mixer.D: its results'):
        load_whole(model, dict(state_dict=state), 'vmunet.pth')


@pytest.mark.parametrize('arch, fusion', PICOS)
@pytest.mark.parametrize('size', [(1, 1), (33, 47), (64, 32)])
@torch.no_grad()
def test_images_are_padded_and_logits_cropped(arch, fusion, size):
    model = pico(arch, fusion).eval()
    height, width = size
    image = images(*size)
    padded = torch.zeros(2, 3, -(-height // 32) * 32, -(-width // 32) * 32)
    padded[..., :height, :width] = image
    whole = model(padded, mode='tensor')
    assert whole.shape == (2, 6, *padded.shape[2:])
    found = model.predict(image)[0].seg_logits.data
    assert found.equal(whole[0, :, :height, :width])
    # of a window, as mmseg cuts them
    meta = [dict(img_shape=image.shape[2:], pad_shape=(500, 500), ori_shape=(500, 500))]
    assert model.encode_decode(image, meta).equal(whole[..., :height, :width])


@pytest.mark.parametrize('arch, fusion', PICOS)
def test_every_parameter_is_trained(arch, fusion):
    head = dict(
        loss_decode=[
            dict(type='CrossEntropyLoss', loss_name='loss_ce'),
            dict(type='DiceLoss', use_sigmoid=False, loss_name='loss_dice'),
        ]
    )
    model = pico(arch, fusion, head=head, backbone=dict(norm_eval=True)).train()
    # of batch norms that see one value of each channel
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    found = losses(model, 64, 90)
    assert set(found) == {'decode.loss_ce', 'decode.loss_dice', 'decode.acc_seg'}
    (found['decode.loss_ce'] + found['decode.loss_dice']).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize('arch, fusion', PICOS)
def test_checkpointed_activations_change_nothing(arch, fusion):
    gradients = []
    for with_cp in (False, True):
        parts = dict(with_cp=with_cp, drop_path_rate=0.4)
        model = pico(arch, fusion, backbone=parts, head=parts).train()
        torch.manual_seed(2)
        losses(model, 64, 64)['decode.loss_ce'].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient.equal(gradients[1][name]), name


def test_drop_paths_rise_in_the_encoder_and_fall_in_the_decoder():
    rate = dict(drop_path_rate=0.2)
    with torch.device('meta'):
        model = vmunet.segmentor(backbone=rate, head=rate)
    rates = [
        [layer.drop_path.drop_prob for stage in part for layer in stage.layers]
        for part in (model.backbone.stages, model.decode_head.levels)
    ]
    assert rates[0] == pytest.approx([0.2 * i / 7 for i in range(8)])
    assert rates[1] == pytest.approx([0.2 - 0.2 * i / 6 for i in range(7)])


@pytest.mark.parametrize('arch, fusion', PICOS)
@torch.no_grad()
def test_autocast(arch, fusion):
    model = pico(arch, fusion).eval()
    expected = model(images(64, 64), mode='tensor')
    with torch.autocast('cpu', torch.bfloat16):
        found = model(images(64, 64), mode='tensor')
    # 8 bits through thirty products
    assert (found.float() - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize('arch, fusion', PICOS)
@torch.no_grad()
def test_a_segmentor_is_exported_for_any_size(arch, fusion):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    from sparx_mm.export.onnx_file import make_onnx
    from sparx_mm.export.segmentor import Segmentor

    arch = dict(arch, embed_dims=(8, 16, 32, 64), depths=(1, 1, 1, 2))
    model = Segmentor(pico(arch, fusion, head=dict(depths=(1, 1, 1, 1)))).eval()
    file = make_onnx(model, [images(64, 96)], (('images',), ('logits',)))
    session = onnxruntime.InferenceSession(file.SerializeToString())
    for size in ((96, 64), (33, 50)):
        wanted = model(images(*size, batch=1))
        (found,) = session.run(None, dict(images=images(*size, batch=1).numpy()))
        assert found.shape == wanted.shape == (1, 6, *size)
        assert (torch.from_numpy(found) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(in_channels=[32, 64, 128]),
            r'in_channels=\[32, 64, 128\]: give those of the encoder',
        ),
        (dict(in_channels=128), 'got in_channels=128: give those of the encoder'),
        (dict(depths=(2, 1)), r'depths for its 4 levels, .* got \(2, 1\)'),
        (dict(depths=2), 'depths for its 4 levels, .* got 2'),
        (dict(depths=(2, 2, 2, 'a')), "depths for its 4 levels, ints from 1, .* 'a'"),
        (dict(arch=dict(vmunet.PICO, embed_dims=(16, 32, 80, 128))), 'double .* 32, 80, 128'),
        (dict(in_index=[0, 1]), r'in_index for each of its 4 in_channels, got \[0, 1\]'),
        (dict(in_index=0), 'in_index for each of its 4 in_channels, got 0'),
        (dict(drop_path_rate=1.5), r'drop_path_rate must be in \[0, 1\), got 1.5'),
        (dict(channels=24, act_cfg=None), r"takes no \['act_cfg', 'channels'\]"),
        (dict(input_transform='resize_concat'), r"takes no \['input_transform'\]"),
        (dict(norm_cfg=dict(type='SyncBN')), 'no part of this VMUNetHead takes a norm_cfg'),
        (dict(fusion='Add'), "fusion must be a config, .* got 'Add'"),
        (dict(fusion=None), 'fusion must be a config, .* got None'),
        (dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth')), 'load_from=FILE'),
        (dict(arch='huge'), "'huge' of VMUNetHead is unknown; use one of"),
        (dict(fusion=dict(type='Concat')), "fusion needs a type that is registered, got 'Concat'"),
        (dict(init_cfg=dict(type='PretrainedVMamba')), 'needs checkpoint=FILE'),
        (
            dict(arch=dict(vmunet.PICO, out_norm=dict(type='BN'))),
            "no norms behind its levels, got out_norm={'type': 'BN'}: leave it out",
        ),
        (
            dict(arch=dict(vmunet.PICO, trunk_norm=(True, False, False, False))),
            r'no norms behind its levels, got trunk_norm=\(True, False, False, False\)',
        ),
    ],
)
def test_mistakes(options, message):
    options = dict(dict(in_channels=[32, 64, 128, 128], arch=vmunet.PICO), **options)
    with pytest.raises(ConfigError, match=message), torch.device('meta'):
        vmunet.MODELS.build(dict(type='mmseg.VMUNetHead', num_classes=6, **options))


def test_norms_of_the_decoder_are_those_of_norm_cfg():
    options = dict(norm_cfg=dict(type='SyncBN'))
    with torch.device('meta'):
        model = vmunet.segmentor(vmunet.PICO_CVSS, 'MFMS', backbone=options, head=options)
    for part in (model.backbone, model.decode_head):
        norms = [m for m in part.modules() if isinstance(m, _BatchNorm)]
        assert norms and all(isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms)


@torch.no_grad()
def test_the_last_maps_are_read():
    wider, own = (vmunet.segmentor(vmunet.PICO, skips=skips, read=3).eval() for skips in (4, 3))
    own.load_state_dict(wider.state_dict())
    assert len(wider.extract_feat(images(64, 64))) == 5
    assert wider(images(64, 64), mode='tensor').equal(own(images(64, 64), mode='tensor'))


def test_an_exported_encoder_has_a_name_for_each_map():
    model = pico(vmunet.PICO, 'Add').eval()
    predictor = SimpleNamespace(model=model, classes=list('abcdef'), task='segmentation')
    network = make_network(predictor, 'backbone')
    assert network.outputs == ('stage1', 'stage2', 'stage3', 'stage4')
    assert len(network.run(dict(images=images(32, 64).numpy()))) == 4
