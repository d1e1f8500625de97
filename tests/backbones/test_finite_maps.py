"""NaN and infinity in what a backbone computes in eval mode."""

import copy
import pickle
import warnings

import pytest
import torch
from archs import (
    PICO,
    PICO_GROUPMAMBA,
    PICO_PLAINMAMBA,
    PICO_SWIN,
    PICO_VMAMBA,
    PICO_VMUNET,
    PICO_VSSD,
)

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba, VMUNetEncoder
from sparx_mm.backbones.finite_maps import PERIOD, FiniteMaps


@pytest.fixture(
    params=[
        (SparXMamba, PICO),
        (SparXSwin, PICO_SWIN),
        (VMamba, PICO_VMAMBA),
        (VSSD, PICO_VSSD),
        (GroupMamba, PICO_GROUPMAMBA),
        (PlainMamba, PICO_PLAINMAMBA),
        (VMUNetEncoder, PICO_VMUNET),
        (VMUNetEncoder, dict(PICO_VMUNET, base='tiny-cvss')),
    ]
)
def model(request):
    """A network of each family in eval mode."""
    torch.manual_seed(0)
    network, arch = request.param
    return network(arch).eval().requires_grad_(False)


@pytest.fixture
def mamba():
    """A SparX-Mamba in eval mode."""
    return SparXMamba(PICO).eval().requires_grad_(False)


def warned(model, x):
    """The texts that a pass warns with."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        model(x)
    return [str(one.message) for one in found]


@pytest.mark.tries('NaN in an inference')
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('place', [(0, 0), (32, 7), (63, 63)])
def test_a_pixel(model, value, place):
    x = torch.rand(2, 3, 64, 64)
    assert warned(model, x) == []
    x[1, 2, place[0], place[1]] = value
    (text,) = warned(model, x)
    assert text == (
        f'what {type(model).__name__} computes is NaN or infinite, because pixels of an image '
        'are. Such predictions mean nothing; a detector gives no boxes'
    )
    assert warned(model, x) == [], 'only once'


@pytest.mark.tries('NaN in an inference')
@pytest.mark.parametrize('which', [0, -1])
def test_weights(model, which):
    name, weight = list(model.named_parameters())[which]
    weight.view(-1)[0] = float('nan')
    (text,) = warned(model, torch.rand(1, 3, 64, 64))
    assert f'because its weights are, {name}: take another checkpoint' in text


@pytest.mark.tries('NaN in an inference')
def test_statistics(mamba):
    """Buffers are a model's weights too."""
    name, buffer = next((n, b) for n, b in mamba.named_buffers() if n.endswith('running_var'))
    buffer[0] = float('nan')
    (text,) = warned(mamba, torch.rand(1, 3, 64, 64))
    assert name in text


@pytest.mark.tries('NaN in an inference')
@pytest.mark.parametrize('dtype,pixel', [(torch.float16, 6e4), (torch.float32, 1e38)])
def test_an_overflow(mamba, dtype, pixel):
    mamba.stem[0].weight.fill_(1)
    (text,) = warned(mamba.to(dtype), torch.full((1, 3, 64, 64), pixel, dtype=dtype))
    assert f'numbers are too large for {dtype}' in text


def test_training_has_a_hook_of_its_own(mamba):
    assert warned(mamba.train(), torch.full((2, 3, 64, 64), float('nan'))) == []


def test_a_copy_looks_for_itself(mamba):
    other = copy.deepcopy(mamba)
    x = torch.full((1, 3, 64, 64), float('nan'))
    assert len(warned(mamba, x)) == len(warned(other, x)) == 1


class Elsewhere:
    """A tensor on a device that answers late, as far as `FiniteMaps` asks."""

    def __init__(self, value):
        self.tensor = torch.full((2,), value)
        self.dtype, self.device = torch.float16, torch.device('meta')

    def isfinite(self):
        return self.tensor.isfinite()


@pytest.mark.parametrize('bad', [0, 1, PERIOD // 2, PERIOD])
def test_results_are_read_seldom_on_a_gpu(mamba, monkeypatch, bad):
    """The first pass is judged by itself, and each later one with its fifty."""
    monkeypatch.setattr('sparx_mm.backbones.finite_maps._can_be_read', lambda images: True)
    looks, spoken = FiniteMaps(), []
    for i in range(2 * PERIOD + 1):
        value = float('nan') if i == bad else 0.0
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter('always')
            looks.look(mamba, torch.full((2,), value), Elsewhere(value))
        spoken += [(i, 'pixels of an image' in str(one.message)) for one in found]
        assert len(looks._pending) < PERIOD
    assert spoken == [(0 if bad == 0 else PERIOD, True)]


def test_a_file_of_a_model_has_no_results(mamba, monkeypatch):
    monkeypatch.setattr('sparx_mm.backbones.finite_maps._can_be_read', lambda images: True)
    for _ in range(2):
        mamba._finite_maps.look(mamba, torch.zeros(2), Elsewhere(0.0))
    assert len(mamba._finite_maps._pending) == 1
    other = pickle.loads(pickle.dumps(mamba))
    assert vars(other._finite_maps) == {**vars(mamba._finite_maps), '_pending': []}
    assert len(warned(other, torch.full((1, 3, 64, 64), float('nan')))) == 1


@pytest.mark.slow
def test_compiled_and_exported_without_a_look():
    """Reading a value would break the graph."""
    mamba = SparXMamba(PICO, out_indices=(0,)).eval().requires_grad_(False)
    x = torch.rand(1, 3, 32, 32)
    wanted = mamba(x)
    compiled = torch.compile(mamba, backend='eager', fullgraph=True)
    exported = torch.export.export(mamba, (x,)).module()
    for function in (compiled, exported):
        for found, own in zip(function(x), wanted):
            torch.testing.assert_close(found, own)
        assert warned(function, x * float('nan')) == []
    assert len(warned(mamba, x * float('nan'))) == 1


@pytest.mark.slow
def test_tensors_without_values(mamba):
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert mamba(mode.from_tensor(torch.rand(1, 3, 64, 64)))[-1].shape == (1, 40, 2, 2)
    assert mamba.to('meta')(torch.rand(1, 3, 64, 64, device='meta'))[-1].shape == (1, 40, 2, 2)
