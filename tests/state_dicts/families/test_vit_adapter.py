"""The adapter's tensors in PlainMamba's files."""

import parity
import pytest
import torch
from archs import PICO_PLAINMAMBA

from sparx_mm import PlainMamba, PlainMambaAdapter
from sparx_mm.state_dicts import PLAINMAMBA, CoverageError, find_families, fit


def released(flavour):
    """A released file that takes no memory."""
    rows = parity.manifest(flavour, 'l1', 'plainmamba')
    return {name: torch.empty(shape, device='meta') for name, shape, _ in rows}


def own_tensors(cls, arch, **options):
    torch.manual_seed(0)
    return cls(arch, **options).state_dict()


@pytest.fixture(scope='module')
def small():
    return own_tensors(PlainMambaAdapter, PICO_PLAINMAMBA)


def load(own, file, cls=PlainMambaAdapter):
    return fit(own, file, PLAINMAMBA, '', cls.arch_zoo)


def test_every_tensor_of_a_detector_has_its_place_and_leads_back():
    file = {f'backbone.{name}': value for name, value in released('adapter').items()}
    assert find_families(file) == {'backbone.': PLAINMAMBA}
    own = PLAINMAMBA.to_own(file, 'backbone.')
    with torch.device('meta'):
        model = PlainMambaAdapter('l1').state_dict()
    assert {k[9:]: v.shape for k, v in own.items()} == {k: v.shape for k, v in model.items()}
    back = PLAINMAMBA.to_released(own, 'backbone.')
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in file.items()}


def test_a_classifier_starts_the_layers(small):
    file = own_tensors(PlainMamba, PICO_PLAINMAMBA)
    report = load(small, file)
    inner = {name for name in small if not name.startswith('adapter.')}
    assert report.weights.keys() == inner
    assert all(name.startswith('adapter.') for name in report.missing)
    assert 'not in the file: adapter.' in str(report)


def test_the_layers_of_a_detector_start_another_network(small):
    own = own_tensors(PlainMamba, PICO_PLAINMAMBA)
    report = load(own, small, PlainMamba)
    assert report.missing == [f'norms.{i}.{p}' for i in (0, 1, 2) for p in ('weight', 'bias')] + [
        'norms.last.weight',
        'norms.last.bias',
    ]


@pytest.mark.tries('a part of an adapter in a file')
@pytest.mark.parametrize(
    'name',
    [
        'adapter.level_embed',
        'adapter.prior.conv2.0.weight',
        'adapter.injectors.3.gamma',
        'adapter.extra_extractors.1.ffn.dwconv.bias',
        'layers.1.mixer.D',
    ],
)
def test_an_adapter_is_whole(small, name):
    file = {k: v for k, v in small.items() if k != name}
    with pytest.raises(CoverageError, match=f'it lacks {name}'):
        load(small, file)


def test_maps_that_another_detector_does_not_read(small):
    """RetinaNet has none of stride 4."""
    fewer = own_tensors(PlainMambaAdapter, PICO_PLAINMAMBA, out_indices=(1, 2, 3))
    assert set(load(fewer, small).weights) == set(fewer)
    missing = load(small, fewer).missing
    assert {name.rpartition('.')[0] for name in missing} == {
        'adapter.prior.fc1',
        'adapter.up',
        'adapter.norms.0',
    }


def test_images_of_four_channels(small):
    own = own_tensors(PlainMambaAdapter, PICO_PLAINMAMBA, in_channels=4)
    report = load(own, small)
    assert report.adapted == ['stem.entry.0.weight', 'adapter.prior.stem.0.weight']
    assert set(report.weights) == set(own)
