"""An adapter, with deformable attention in standard operators, at other sizes."""

import pytest
import torch
from torch import nn
from torch.export import Dim

from sparx_mm.adapters import ViTAdapter
from sparx_mm.layers.stem import pad_to_multiple

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

from sparx_mm.export.onnx_file import make_onnx  # noqa: E402

SIZES = ((1, 3, 130, 63), (3, 3, 40, 33))


class Network(nn.Module):
    """Patches in place of a backbone's stem, whose scans other tests export."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 24, 16, stride=16)
        self.adapter = ViTAdapter(24, 4, num_groups=1, extra_extractors=0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.2)

    def forward(self, images):
        images = pad_to_multiple(images, 32)
        return tuple(self.adapter(images, self.stem(images), [nn.Identity()]))


@pytest.fixture(scope='module')
def network():
    return Network().eval()


def far(expected, got):
    return max(
        float((a - torch.as_tensor(b)).abs().max() / a.abs().max())
        for a, b in zip(expected, got, strict=True)
    )


@torch.no_grad()
def test_onnxruntime_runs_any_batch_height_and_width(network):
    file = make_onnx(network, [torch.rand(2, 3, 64, 96)], (('images',), ('a', 'b', 'c', 'd')))
    assert {node.domain for node in file.graph.node} == {''}
    # a map for each level of the injector and the extractor
    assert sum(node.op_type == 'GridSample' for node in file.graph.node) == 4
    session = onnxruntime.InferenceSession(file.SerializeToString())
    for size in SIZES:
        x = torch.rand(size)
        assert far(network(x), session.run(None, {'images': x.numpy()})) < 1e-5


# symbolic sizes take it half a minute
@pytest.mark.faults
@pytest.mark.tries("a backbone's torch.export program")
@torch.no_grad()
def test_torch_exports_any_batch_height_and_width(network):
    sides = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(
        network, (torch.rand(2, 3, 64, 96),), dynamic_shapes=(sides,), strict=False
    )
    for size in SIZES:
        x = torch.rand(size)
        assert far(network(x), program.module()(x)) < 1e-5
