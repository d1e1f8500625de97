"""Networks of every family, traced, exported by torch and written as ONNX, at other sizes."""

import warnings

import pytest
import torch
from archs import PICO, PICO_GROUPMAMBA, PICO_PLAINMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from mmseg.models.utils import Upsample
from torch.export import Dim

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba
from sparx_mm.aggregators import DMCA
from sparx_mm.export.segmentor import MatrixPool2d, replace_layers
from sparx_mm.kernels import ss2d
from sparx_mm.layers import WeightedSum

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

import onnx  # noqa: E402

from sparx_mm.export.onnx_file import make_onnx  # noqa: E402
from sparx_mm.export.runtimes import open_openvino  # noqa: E402

# VMamba, whose parts SparXMamba has too, is exported in tests/export/test_command.py
FAMILIES = (
    (SparXMamba, PICO),
    (SparXSwin, PICO_SWIN),
    (VSSD, PICO_VSSD),
    (PlainMamba, PICO_PLAINMAMBA),
)
# of scans of sequences
SEQUENCES = ((GroupMamba, PICO_GROUPMAMBA),)
# weighted sums of both kinds, and scans over channels
LEARNED = dict(
    PICO_VMAMBA,
    inputs='weighted',
    connections=dict(starts=(None, 1, 1, 1), aggregator=dict(type='WeightedAverage', bias=False)),
    mixer=dict(alternate=(dict(type='ChannelSSM', width=4), dict(type='SS2D'))),
    projection=dict(alternate=(dict(type='Identity'), dict(type='LinearProjection'))),
)
# windows fit in some maps and not in others; sides that no stride divides
SIZES = ((1, 3, 130, 63), (3, 3, 40, 33))


def backbone(family, arch):
    torch.manual_seed(0)
    # a plain layer, one that reads others and, on windows, a shifted one
    model = family(arch, out_indices=(0, 1)).eval()
    for module in model.modules():
        if isinstance(module, WeightedSum):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return model


def run_onnx(model, **arrays):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {name: array.numpy() for name, array in arrays.items()})


def far(expected, got):
    return max(
        float((a - torch.as_tensor(b)).abs().max() / a.abs().max()) for a, b in zip(expected, got)
    )


@pytest.mark.parametrize('family, arch', FAMILIES)
def test_a_trace_passes_its_own_check_and_is_right_at_other_sizes(family, arch):
    model = backbone(family, arch)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        # with gradients, as torch.jit.trace is called by most
        traced = torch.jit.trace(model, torch.rand(2, 3, 64, 96))
        with torch.no_grad():
            for size in SIZES:
                x = torch.rand(size)
                assert far(model(x), traced(x)) < 1e-5


@pytest.mark.parametrize('family, arch', FAMILIES)
@torch.no_grad()
def test_torch_exports_any_batch_height_and_width(family, arch):
    model = backbone(family, arch)
    sides = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(
        model, (torch.rand(2, 3, 64, 96),), dynamic_shapes=(sides,), strict=False
    )
    for size in SIZES:
        x = torch.rand(size)
        assert far(model(x), program.module()(x)) < 1e-5


# torch.export takes its scans of sequences at sizes of more than 64 positions alone
@pytest.mark.parametrize('family, arch', (*FAMILIES, *SEQUENCES, (VMamba, LEARNED)))
@torch.no_grad()
def test_onnxruntime_runs_any_batch_height_and_width(family, arch):
    model = backbone(family, arch)
    file = make_onnx(model, [torch.rand(2, 3, 64, 96)], (('images',), ('a', 'b')))
    assert {node.domain for node in file.graph.node} <= {'', 'ai.onnx'}
    for size in SIZES:
        x = torch.rand(size)
        assert far(model(x), run_onnx(file, images=x)) < 1e-5


class Scan(torch.nn.Module):
    """The operator and its parameters, with step sizes from 0 to 60."""

    def __init__(self, states, orders):
        super().__init__()
        self.orders = orders
        torch.manual_seed(states)
        self.parameters_ = (
            4 * torch.randn(4, 8, 2),
            3 * torch.randn(4, 8),
            -torch.rand(4, 8, states) - 0.1,
            torch.randn(4, 8),
        )

    def forward(self, images, projection):
        return ss2d(images, projection, *self.parameters_, self.orders)


@pytest.mark.parametrize('scan', ['lines', 'doubling'])
@pytest.mark.parametrize(
    'states, orders', [(1, 'cross'), (3, 'cross'), (3, 'diagonal'), (3, 'snake')]
)
@torch.no_grad()
def test_the_scan_in_standard_operators(scan, states, orders):
    def inputs(batch, height, width):
        return (
            torch.randn(batch, 8, height, width),
            torch.randn(batch, height, width, 4, 2 + 2 * states),
        )

    module, names = Scan(states, orders), ('images', 'projection')
    file = make_onnx(module, inputs(2, 5, 4), (names, ('y',)), scan)
    # the exporter lets the batch of the second input vary, and not its sides
    for axis in (1, 2):
        file.graph.input[1].type.tensor_type.shape.dim[axis].dim_param = f's{axis}'
    for size in ((1, 1, 1), (2, 1, 7), (3, 9, 1), (1, 33, 20)):
        given = inputs(*size)
        (got,) = run_onnx(file, **dict(zip(names, given)))
        assert far([module(*given)], [got]) < 1e-5


@torch.no_grad()
def test_openvino_runs_a_backbone_in_float32(tmp_path):
    pytest.importorskip('openvino')
    model = backbone(VMamba, PICO_VMAMBA)
    file = make_onnx(model, [torch.rand(2, 3, 64, 96)], (('images',), ('a', 'b')), 'doubling')
    onnx.save(file, tmp_path / 'a.onnx')
    run = open_openvino(str(tmp_path / 'a.onnx'), 1)
    for size in SIZES:
        x = torch.rand(size)
        assert far(model(x), run(dict(images=x.numpy()))) < 1e-5


@pytest.mark.parametrize('size', [2, 3, 6])
def test_pooling_by_products_is_torchs(size):
    x = torch.rand(2, 3, 13, 7)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, size)
    torch.testing.assert_close(MatrixPool2d(size)(x), expected)


@torch.no_grad()
def test_channel_attention_is_scaled_at_any_size():
    """Scores that differ, which those of random weights hardly do."""
    torch.manual_seed(0)
    module = DMCA(16, 1, 16, num_groups=2, reduction=2).eval()
    for part in (module.q, module.k):
        part[-2].weight *= 30
    names, x = ('images', 'sources'), torch.rand(2, 16, 12, 10)
    file = make_onnx(module, [x, [x]], (names, ('y',)))
    for axis in (2, 3):
        file.graph.input[1].type.tensor_type.shape.dim[axis].dim_param = f's{axis}'
    for size in ((1, 16, 5, 4), (2, 16, 30, 24)):
        x = torch.rand(size)
        assert far([module(x, [x])], run_onnx(file, images=x, sources=x)) < 1e-5


@torch.no_grad()
def test_upsampling_is_traced_for_any_size():
    part = torch.nn.Sequential(Upsample(scale_factor=2, mode='bilinear', align_corners=False))
    x = torch.rand(1, 3, 5, 7)
    expected = part(x)
    file = make_onnx(replace_layers(part), [torch.rand(1, 3, 4, 4)], (('images',), ('y',)))
    assert far([expected], run_onnx(file, images=x)) < 1e-6


# a compiler takes longer than all tests above
@pytest.mark.faults
@pytest.mark.tries("a backbone's torch.export program")
def test_a_program_is_compiled_ahead_of_time():
    """AOTInductor, with the scan as an operator of this package."""
    with torch.no_grad():
        model = backbone(VMamba, PICO_VMAMBA)
        # of sides that strides do not divide torch 2.13 asks for an impossible range
        sides = {0: Dim('n', max=64), 2: 32 * Dim('h', max=128), 3: 32 * Dim('w', max=128)}
        x = torch.rand(2, 3, 64, 96)
        program = torch.export.export(model, (x,), dynamic_shapes=(sides,), strict=False)
        compiled = torch._inductor.aoti_load_package(
            torch._inductor.aoti_compile_and_package(program)
        )
        for size in ((1, 3, 128, 64), (3, 3, 32, 96)):
            x = torch.rand(size)
            assert far(model(x), compiled(x)) < 1e-5
