"""A user's own torch.onnx.export, and the scan of sequences in standard operators."""

import functools
import warnings

import pytest
import torch
from torch.export import Dim

from sparx_mm.errors import UserError
from sparx_mm.kernels import selective_scan, ss2d
from sparx_mm.mixers import SS2D, BiSSM, SnakeScan

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

from sparx_mm.export.onnx_file import make_onnx  # noqa: E402
from sparx_mm.export.torch_exporters import teach_exporters  # noqa: E402

# maps of one position, of one line, and with sides of which no square is made
SIZES = ((1, 1, 1), (2, 1, 7), (3, 8, 8), (1, 5, 13))


def far(expected, file, x):
    session = onnxruntime.InferenceSession(file)
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return float((expected - torch.from_numpy(got)).abs().max() / expected.abs().max())


class Scan(torch.nn.Module):
    """The operator on a map's positions, with step sizes from 0 to 60."""

    def __init__(self, states, groups, softplus):
        super().__init__()
        torch.manual_seed(states)
        self.A, self.D = -torch.rand(8, states) - 0.1, torch.randn(8)
        self.bias = 20 * torch.randn(8) if softplus else None
        self.groups = groups

    def forward(self, images):
        u = images.flatten(2)
        channels = self.groups * self.A.shape[1]
        B, C = (x.unflatten(1, (self.groups, -1)) for x in (u[:, :channels], u[:, -channels:]))
        softplus = self.bias is not None
        return selective_scan(u, u.flip(1).abs(), self.A, B, C, self.D, self.bias, softplus)


@pytest.mark.parametrize(
    'scan, states, groups, softplus',
    [('lines', 1, 4, True), ('lines', 2, 2, False), ('doubling', 3, 1, True)],
)
@torch.no_grad()
def test_sequences_are_scanned_in_standard_operators(scan, states, groups, softplus):
    module = Scan(states, groups, softplus)
    file = make_onnx(module, [torch.randn(2, 8, 5, 3)], (('images',), ('y',)), scan)
    assert {node.domain for node in file.graph.node} == {''}
    for batch, height, width in SIZES:
        x = torch.randn(batch, 8, height, width)
        assert far(module(x), file.SerializeToString(), x) < 1e-5


class DiagonalScan(SS2D):
    scan = staticmethod(functools.partial(ss2d, orders='diagonal'))


@pytest.mark.parametrize(
    'mixer, dynamo',
    [
        (BiSSM, True),
        (BiSSM, False),
        (SS2D, True),
        (DiagonalScan, True),
        (SnakeScan, True),
        (SnakeScan, False),
    ],
)
@torch.no_grad()
def test_a_users_own_export_writes_the_scans(mixer, dynamo, tmp_path):
    module, path = mixer(8).eval(), str(tmp_path / 'a.onnx')
    channels = module.in_channels
    x = torch.rand(2, channels, 6, 5)
    table = teach_exporters()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if dynamo:
            free = {axis: Dim.DYNAMIC for axis in (0, 2, 3)}
            torch.onnx.export(
                module, (x,), path, custom_translation_table=table, dynamic_shapes=(free,)
            )
        else:
            axes = {'x': {0: 'batch', 2: 'height', 3: 'width'}}
            torch.onnx.export(
                module, (x,), path, dynamo=False, input_names=['x'], dynamic_axes=axes
            )
    for size in ((1, channels, 4, 7), (3, channels, 1, 1)):
        x = torch.rand(size)
        assert far(module(x), path, x) < 1e-5


def test_a_form_that_is_not_there_is_said():
    with pytest.raises(UserError, match="'loop' is none of lines, doubling"):
        teach_exporters('loop')


@torch.no_grad()
def test_long_lines_are_scanned_without_a_loop():
    """By blocks of 1024 positions, up to 8192; beyond that nothing wrong is given."""
    torch.manual_seed(0)
    module = SS2D(4).eval()
    file = make_onnx(module, [torch.rand(1, 8, 4, 6)], (('images',), ('y',)), 'doubling')
    file = file.SerializeToString()
    for width in (4096, 7000, 8192):
        x = torch.rand(1, 8, 2, width)
        # states of the positions before the last 2048 count for 2e-5
        assert far(module(x), file, x) < 3e-6
    with pytest.raises(Exception, match='8192'):
        far(module(x), file, torch.rand(1, 8, 2, 8193))
