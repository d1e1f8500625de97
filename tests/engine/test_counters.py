"""Other people's counters, and what they make of our operators."""

import pytest
import torch
from archs import PICO, PICO_GROUPMAMBA, PICO_PLAINMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from mmengine.analysis import FlopAnalyzer, complexity_analysis, get_model_complexity_info
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba
from sparx_mm.engine import flop_handles

pytestmark = pytest.mark.stack
NETWORKS = {
    'SparXMamba': (SparXMamba, PICO),
    'ssm': (SparXMamba, dict(base='tiny-bissm', **PICO)),
    'SparXSwin': (SparXSwin, PICO_SWIN),
    'VMamba': (VMamba, PICO_VMAMBA),
    'VSSD': (VSSD, PICO_VSSD),
    'GroupMamba': (GroupMamba, PICO_GROUPMAMBA),
    'PlainMamba': (PlainMamba, PICO_PLAINMAMBA),
}
SIZE = 40


@pytest.fixture(params=NETWORKS)
def network(request):
    family, arch = NETWORKS[request.param]
    return family(arch).eval()


@pytest.fixture
def images():
    return torch.rand(1, 3, SIZE, SIZE)


# which torch does not count on a CPU
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: (
        sdpa_flop_count(*shapes[:3])
    )
}


def count_by_torch(network, images):
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        network(images)
    # 2 a multiply-add
    return counter.get_total_flops() // 2


def count(analyzer, handles):
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counts = analyzer.set_op_handle(**handles).by_operator()
    # torch does not count norms
    return sum(number for name, number in counts.items() if not name.endswith('_norm'))


@pytest.mark.parametrize('library', ['fvcore', 'mmengine'])
def test_counters_of_traced_graphs_agree_with_torchs(library, network, images):
    """With the handles, which fvcore is given and mmengine has."""
    counted = count_by_torch(network, images)
    if library == 'mmengine':
        assert count(FlopAnalyzer(network, images), {}) == counted
        return
    analyzer = pytest.importorskip('fvcore.nn').FlopCountAnalysis
    assert count(analyzer(network, images), flop_handles()) == counted
    # the scans, or VSSD's attention
    assert count(analyzer(network, images), {}) < counted


def test_mmengines_report_counts_the_scan(images, monkeypatch):
    """As the libraries' own get_flops.py does, with the import of their configs alone."""
    network = VMamba(dict(embed_dims=(8, 8, 8, 8), depths=(1, 1, 1, 1))).eval()

    def report():
        return get_model_complexity_info(
            network, (3, SIZE, SIZE), show_table=False, show_arch=False
        )['flops']

    with_scan = report()
    monkeypatch.delitem(complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS, 'sparx_mm::ss2d')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    scan = counter.flop_counts['Global'][torch.ops.sparx_mm.ss2d] // 2
    assert with_scan - report() == scan > 0


def test_torchinfo_sees_the_modules_and_not_the_scan(network, images):
    """It multiplies the parameters of convolutions and linear layers by their outputs."""
    torchinfo = pytest.importorskip('torchinfo')
    summary = torchinfo.summary(network, input_data=images, verbose=0)
    assert summary.total_params == sum(p.numel() for p in network.parameters())
    # it counts biases too, which are as many as the scans of GroupMamba
    assert 0 < summary.total_mult_adds < 1.01 * count_by_torch(network, images)
    assert {info.class_name for info in summary.summary_list} >= {'ModuleList', 'Layer'}
