"""Networks are looked at: numbers by hand, pictures, and mistakes in one line."""

import functools
import itertools
import json

import cv2
import numpy as np
import pytest
import torch
from archs import PICO, PICO_SWIN
from torch import nn

from sparx_mm.analysis import KINDS, find_images, look, make_network, read_images, write_numbers
from sparx_mm.analysis.look.attention import channel_attentions
from sparx_mm.analysis.look.directions import DIRECTIONS, direction_shares, scan_by_direction
from sparx_mm.analysis.look.feature_maps import stage_maps
from sparx_mm.analysis.look.images import normalize
from sparx_mm.analysis.look.networks import Network
from sparx_mm.analysis.look.receptive_field import Field, receptive_fields
from sparx_mm.analysis.look.similarity import layer_similarity, unbiased_hsic
from sparx_mm.errors import UserError
from sparx_mm.kernels import ss2d
from sparx_mm.kernels.testing import map_arguments
from sparx_mm.mixers import SS2D

PEERS = {
    'Swin-T': dict(embed_dims=12, depths=(1, 1, 2, 1), num_heads=(1, 2, 3, 4), window_size=4),
    'ConvNeXt-T': dict(arch=dict(depths=[1, 1, 2, 1], channels=[8, 12, 16, 20])),
}


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(0)
    return torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)


@pytest.fixture(scope='module')
def own():
    return make_network('SparXMamba', dict(arch=PICO, label='ours'))


def plain(module):
    return Network('plain', module.eval().requires_grad_(False), 'random weights', r'\d+')


def test_a_receptive_field_is_that_of_the_kernels(images):
    """Two convolutions of 3x3, the second of stride 2, see 7x7 pixels around one."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1))
    nn.init.constant_(module[0].weight, 1.0)
    nn.init.constant_(module[2].weight, 1.0)
    (field,) = receptive_fields(plain(module), images.float(), 2)
    # position 16 of 32, at stride 2 the pixels 29 to 35
    wanted = np.zeros((64, 64), bool)
    wanted[29:36, 29:36] = True
    assert ((field.contributions > 0) == wanted).all()
    assert field.contributions.sum() == pytest.approx(1)
    assert field.center == (33, 33)


def test_areas_of_a_receptive_field():
    contributions = np.zeros((10, 10))
    contributions[5, 5], contributions[3, 5] = 0.5, 0.5
    # a pixel, and the square that reaches two further
    areas = Field(contributions, (5.5, 5.5)).areas()
    assert areas == {'0.2': 0.01, '0.3': 0.01, '0.5': 0.01, '0.99': 0.25}


def test_the_estimate_is_unbiased():
    """The mean over all quadruples of different images, by its definition."""
    torch.manual_seed(0)
    features = [torch.randn(6, dim, dtype=torch.float64) for dim in (3, 5)]
    k, lower = grams = torch.stack([x @ x.T for x in features])
    quadruples = itertools.permutations(range(6), 4)
    terms = [k[i, j] * (lower[i, j] + lower[q, r] - 2 * lower[i, q]) for i, j, q, r in quadruples]
    wanted = torch.stack(terms).mean()
    assert unbiased_hsic(grams)[0, 1] == pytest.approx(float(wanted), rel=1e-12)


class Layers(nn.Module):
    """Features, the same turned and scaled, and others."""

    def __init__(self, images):
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(3))
        self.numbers = {image.sum().item(): i for i, image in enumerate(images)}
        self.features, self.others = torch.randn(len(images), 8), torch.randn(len(images), 50)
        self.turn = torch.linalg.qr(torch.randn(8, 8))[0]

    def forward(self, images):
        which = [self.numbers[image.sum().item()] for image in images]
        x = self.layers[0](self.features[which])
        self.layers[1](3 * x @ self.turn + 5)
        self.layers[2](self.others[which])
        return images


def test_similarity_knows_turned_features_and_not_others():
    torch.manual_seed(0)
    images = torch.randn(401, 1, 2, 2)
    network = plain(Layers(images))._replace(mixers=r'layers\.\d')
    # the last image is fewer than an estimate needs
    matrix = layer_similarity(network, images, 40).matrix
    assert np.allclose(matrix[:2, :2], 1, atol=1e-6)
    assert abs(matrix[2, :2]).max() < 0.1


@pytest.mark.parametrize('name', ['SparXMamba', 'Swin-T', 'ConvNeXt-T'])
def test_token_mixers_are_found(name, images):
    options = PEERS.get(name, dict(arch=PICO))
    similarity = layer_similarity(make_network(name, options), normalize(images), 5)
    assert len(similarity.layers) == sum(dict(SparXMamba=PICO['depths']).get(name, (1, 1, 2, 1)))
    # the layers of stages 1 and 3 but their first, and 0 and 2 of stage 2
    assert similarity.ganglions == ([2, 3, 5, 6, 7] if name == 'SparXMamba' else [])
    assert np.allclose(similarity.matrix.diagonal(), 1)


def test_maps_have_the_dimensions_of_their_features():
    module = nn.Conv2d(3, 6, 4, 4, bias=False)
    # of all channels, two directions of equal variance
    module.weight.data[:] = 0
    module.weight.data[:3, 0, 0, 0], module.weight.data[3:, 1, 0, 0] = 1, 1
    torch.manual_seed(0)
    (maps,) = stage_maps(plain(module), torch.randn(4, 3, 64, 64), 3)
    assert maps.colors.shape == (4, 16, 16, 3)
    assert maps.numbers['channels'] == 6 and maps.numbers['height'] == 16
    assert maps.numbers['dimensions'] == pytest.approx(2, abs=0.01)
    assert sum(maps.numbers['explained'][:2]) == pytest.approx(1)


def test_attention_is_what_the_layers_used(own, images, monkeypatch):
    from sparx_mm.aggregators import dmca

    used, attend = [], dmca.attention_map

    def note(*args):
        used.append(attend(*args))
        return used[-1]

    monkeypatch.setattr(dmca, 'attention_map', note)
    attentions = channel_attentions(own, normalize(images), 5)
    assert list(attentions) == ['1.1', '2.0', '2.2', '3.0', '3.1']
    for attention, weights in zip(attentions.values(), used, strict=True):
        assert np.allclose(attention.weights, weights.mean(0), atol=1e-6)
    # random queries and keys weigh all channels alike
    assert attentions['2.0'].numbers['entropy'] > 0.95
    assert attentions['2.2'].numbers['sources'] == 2


def test_directions_sum_to_the_scan():
    arguments = map_arguments(2, 3, 4, 5, 2, 2)
    parts = scan_by_direction(*arguments)
    assert list(parts) == ['direct', *DIRECTIONS]
    torch.testing.assert_close(sum(parts.values()), ss2d(*arguments))
    # to the right, the first column has its own position alone; downwards, the first row
    alone = arguments[0].clone()
    alone[..., 1:] = 0
    moved = scan_by_direction(alone, *arguments[1:])
    torch.testing.assert_close(moved['right'][:, :, 0, 0], parts['right'][:, :, 0, 0])
    assert moved['right'][:, :, 0, 1:].abs().min() > 0
    assert moved['left'][:, :, -1, 1:].abs().max() == 0


def test_the_network_scans_as_before(own, images):
    given = normalize(images)
    before = own.maps(given)
    shares = direction_shares(own, given, 2)
    assert list(shares) == [
        f'{i}.{j}' for i, depth in enumerate(PICO['depths']) for j in range(depth)
    ]
    for layer in shares.values():
        assert sum(layer.shares.values()) == pytest.approx(1, abs=1e-4)
        assert all(positions > 0 for positions in layer.reach.values())
    for a, b in zip(before, own.maps(given)):
        assert torch.equal(a, b)


@pytest.mark.parametrize('kind', KINDS)
def test_pictures_and_numbers(kind, own, images, tmp_path):
    networks = [own]
    if kind in ('erf', 'cka', 'maps'):
        networks += [make_network(name, options) for name, options in PEERS.items()]
    figure, numbers = look(kind, networks, images, 5)
    figure.savefig(tmp_path / 'a.svg')
    text = (tmp_path / 'a.svg').read_text()
    assert all(f'<!-- {network.name}' in text for network in networks)
    assert 'random weights -->' in text
    write_numbers(str(tmp_path / 'a.json'), numbers)
    read = json.loads((tmp_path / 'a.json').read_text())
    assert list(read) == [network.name for network in networks]
    assert read['ours']['weights'] == 'random weights' and read['ours']['numbers']


def test_images_of_a_folder(tmp_path):
    (tmp_path / 'inner').mkdir()
    image = np.zeros((20, 30, 3), np.uint8)
    # in the middle, red in OpenCV's order
    image[:, 10:20, 2] = 255
    for name in ('a.png', 'b.JPG', 'inner/c.png', 'd.txt'):
        (tmp_path / name).write_bytes(cv2.imencode('.png', image)[1].tobytes())
    # what macOS leaves beside an image, and what is none
    (tmp_path / '._a.png').write_bytes(b'no image')
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / '.thumbnails').mkdir()
    (tmp_path / '.thumbnails/a.png').write_bytes(b'no image')
    paths = find_images(tmp_path, 9)
    assert [path.name for path in paths] == ['a.png', 'b.JPG', 'c.png']
    assert len(find_images(tmp_path, 2)) == 2
    read = read_images(paths, 10)
    assert read.shape == (3, 3, 10, 10)
    assert (read[:, 0, :, 3:7] == 255).all() and (read[:, 1:] == 0).all()


def test_weights_of_a_file(tmp_path, own):
    file = str(tmp_path / 'model.pth')
    names = {f'backbone.{k}': v for k, v in own.module.state_dict().items()}
    torch.save(dict(state_dict=names), file)
    torch.manual_seed(1)
    network = make_network('SparXMamba', dict(arch=PICO, checkpoint=file))
    assert network.weights == file and 'random' not in network.title
    assert torch.equal(network.module.stem[0].weight, own.module.stem[0].weight)
    swin = make_network('Swin-T', PEERS['Swin-T'])
    names = {f'backbone.{k}': v for k, v in swin.module.state_dict().items()}
    torch.save(names, file)
    again = make_network('Swin-T', dict(PEERS['Swin-T'], checkpoint=file))
    assert torch.equal(again.module.norm3.weight, swin.module.norm3.weight)
    with pytest.raises(UserError, match='lacks .* tensors of ConvNeXt-T.*first: give a file of'):
        make_network('ConvNeXt-T', dict(PEERS['ConvNeXt-T'], checkpoint=file))
    with pytest.raises(UserError, match=file):
        make_network('SparXMamba', dict(arch=PICO, checkpoint=file))


def test_a_scan_in_other_orders_is_refused(own, images, monkeypatch):
    monkeypatch.setattr(SS2D, 'scan', staticmethod(functools.partial(ss2d, orders='diagonal')))
    with pytest.raises(UserError, match='ours: SS2D of layer 0.0 scans in orders of its own'):
        direction_shares(own, normalize(images), 2)


@pytest.mark.filterwarnings('ignore:what SparXMamba computes')
def test_mistakes(tmp_path, own, images):
    with pytest.raises(UserError, match='is no folder'):
        find_images(tmp_path / 'none', 1)
    with pytest.raises(UserError, match='has no images: their names end in'):
        find_images(tmp_path, 1)
    (tmp_path / 'a.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r'a.png cannot be read as an image'):
        read_images(find_images(tmp_path, 1), 8)
    with pytest.raises(UserError, match="no backbone 'SparXMambo'"):
        make_network('SparXMambo')
    # a label that reads as a number
    swin = make_network('SparXSwin', dict(arch=PICO_SWIN, label=2024))
    with pytest.raises(UserError, match='2024 has no scan in four directions'):
        look('directions', [swin], images)
    plain_net = make_network(
        'VMamba', dict(arch=dict(embed_dims=(8, 8, 8, 8), depths=(1, 1, 1, 1)))
    )
    for network in (plain_net, make_network('Swin-T', PEERS['Swin-T'])):
        with pytest.raises(UserError, match='has no ganglion layers'):
            look('attention', [network], images)
    with pytest.raises(UserError, match="two networks are named 'ours'"):
        look('maps', [own, own], images)
    with pytest.raises(UserError, match='CKA needs 4 images'):
        look('cka', [own], images[:3])
    with pytest.raises(UserError, match='token mixers of ours are unknown: give mixers=PATTERN'):
        look('cka', [own._replace(mixers='')], images)
    pooled = make_network('mmpretrain.ConvNeXt', PEERS['ConvNeXt-T'])
    with pytest.raises(UserError, match=r'returns a tensor of shape \(5, 20\) and no map'):
        look('erf', [pooled], images)
    own.module.norms['3'].weight.data[0] = torch.nan
    with pytest.raises(UserError, match='ours returns NaN or infinity with random weights'):
        look('maps', [own], images)
