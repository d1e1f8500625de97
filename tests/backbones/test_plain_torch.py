"""Backbones as other people's programs use them: in 16 bits, sharded, and traced."""

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
from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba, VMUNetEncoder
from sparx_mm.layers import Layer

NETWORKS = [
    (SparXMamba, PICO),
    (SparXMamba, dict(PICO, mixer=dict(type='BiSSM'))),
    (SparXSwin, PICO_SWIN),
    (VMamba, PICO_VMAMBA),
    (VSSD, PICO_VSSD),
    (VSSD, dict(PICO_VSSD, base='tiny-iccv')),
    (GroupMamba, PICO_GROUPMAMBA),
    (PlainMamba, PICO_PLAINMAMBA),
    (VMUNetEncoder, PICO_VMUNET),
    (VMUNetEncoder, dict(PICO_VMUNET, base='tiny-cvss')),
]


@pytest.mark.parametrize('network,arch', NETWORKS)
@pytest.mark.parametrize('dtype,tolerance', [(torch.float16, 0.01), (torch.bfloat16, 0.1)])
def test_half(network, arch, dtype, tolerance):
    """The roundings of parameters and activations, relative to maps of unit variance."""
    torch.manual_seed(0)
    model = network(arch).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = model(x)
        found = model.to(dtype)(x.to(dtype))
    for a, b in zip(found, wanted):
        assert a.dtype == dtype
        assert (a.float() - b).abs().mean() < tolerance * b.std()


@pytest.mark.parametrize(
    'network,arch,size',
    [
        *((*NETWORKS[i], size) for i in (0, 2, 4, 5) for size in ((64, 64), (33, 64))),
        (*NETWORKS[6], (33, 64)),
        (*NETWORKS[7], (33, 64)),
    ],
)
def test_a_traced_network_at_other_sizes(network, arch, size):
    torch.manual_seed(0)
    model = network(arch).eval()
    with warnings.catch_warnings(), torch.no_grad():
        # of what is the same at every size
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        traced = torch.jit.trace(model, torch.rand(1, 3, *size))
        for other in ((96, 48), (50, 70), (33, 47), (128, 64)):
            x = torch.rand(2, 3, *other)
            for found, wanted in zip(traced(x), model(x)):
                torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def mesh(tmp_path_factory):
    """A process group of this process alone."""
    store = tmp_path_factory.mktemp('group') / 'store'
    distributed.init_process_group('gloo', f'file://{store}', rank=0, world_size=1)
    yield init_device_mesh('cpu', (1,))
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize('network,arch', NETWORKS)
def test_a_sharded_network_and_its_checkpoint(mesh, tmp_path, network, arch):
    torch.manual_seed(0)
    plain, sharded = network(arch), network(arch)
    # inner ones first: a block may have a layer inside
    for layer in reversed(list(sharded.modules())):
        if isinstance(layer, Layer):
            fully_shard(layer, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    optimizer = torch.optim.SGD(sharded.parameters(), lr=0.01)
    x = torch.rand(2, 3, 32, 32)
    for _ in range(2):
        sum(y.square().mean() for y in sharded(x)).backward()
        optimizer.step()
    # in shards, as a file of several processes is
    checkpoint.save(get_model_state_dict(sharded), checkpoint_id=tmp_path / 'shards')
    dcp_to_torch_save(tmp_path / 'shards', tmp_path / 'whole.pth')
    plain.load_state_dict(torch.load(tmp_path / 'whole.pth'))
    with torch.no_grad():
        for found, wanted in zip(plain.eval()(x), sharded.eval()(x)):
            assert found.equal(wanted)
