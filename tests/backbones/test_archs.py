"""Every named arch runs, trains and is what its name says."""

import torch
from archs import PICO_SWIN

from sparx_mm import SparXMamba, SparXSwin
from sparx_mm.backbones.connections import STAGE_INPUT


def test_what_is_built_on_the_meta_device_computes_the_same():
    torch.manual_seed(0)
    source = SparXSwin(PICO_SWIN).eval()
    with torch.device('meta'):
        model = SparXSwin(PICO_SWIN)
    model.to_empty(device='cpu').load_state_dict(source.state_dict())
    image = torch.rand(1, 3, 40, 56)
    for ours, wanted in zip(model.eval()(image), source(image)):
        assert ours.equal(wanted)


def sources(name, stage):
    """What the ganglion layers of a stage read, by layer."""
    stage = SparXMamba(name, out_indices=(stage,)).stages[stage]
    return {i: read for i, read in enumerate(stage.sources) if read}


def test_connections_of_the_ablations():
    assert sources('tiny-plainnet', 2) == {}
    assert list(sources('tiny-s1', 2)) == [*range(7)]
    assert sources('tiny-s1', 2)[6] == (2, 3, 4, 5)
    assert list(sources('tiny-s3', 2)) == [0, 3, 6]
    assert list(sources('tiny-s4', 2)) == [2, 6]
    assert sources('tiny-m2', 2)[6] == (5, 2, 4)
    assert sources('tiny-m4', 2)[4] == (3, STAGE_INPUT, 0, 2)
    assert sources('tiny-m4', 1) == sources('tiny', 1)
    assert sources('tiny-dgc', 2)[6] == (STAGE_INPUT, *range(6))
    assert list(sources('tiny-dgc', 2)) == [0, 2, 4, 6]
    assert sources('tiny-dsn', 0) == {0: (STAGE_INPUT,), 1: (0,)}
    assert sources('tiny-dsn', 2)[6] == (0, 1, 2, 3, 4, 5)


def test_parts_of_the_family():
    """Section 4.5: what the variants share with Swin, and what not."""
    for model in (SparXSwin('tiny'), SparXMamba('tiny-ssm'), SparXMamba('tiny-bissm')):
        names = dict(model.named_modules())
        assert 'stem.proj' in names and 'downsamples.0.reduction' in names
        layers = [layer for stage in model.stages for layer in stage.layers]
        for layer in layers:
            for part in (layer.dpe, layer.skip1, layer.skip2):
                assert isinstance(part, torch.nn.Identity)
    heads = [stage.layers[0].mixer.num_heads for stage in SparXSwin().stages]
    assert heads == [3, 6, 10, 18]


def test_output_norm_can_be_left_to_the_head():
    torch.manual_seed(0)
    model = SparXMamba(dict(base='tiny', out_norm=None), out_indices=(3,)).eval()
    assert not any(name.startswith('norms') for name in model.state_dict())
    image = torch.rand(1, 3, 64, 64)
    (plain,) = model(image)
    assert plain.is_contiguous()
    normed = SparXMamba('tiny', out_indices=(3,)).eval()
    normed.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(
        normed(image)[0],
        torch.nn.functional.layer_norm(plain.permute(0, 2, 3, 1), (512,), eps=1e-6).permute(
            0, 3, 1, 2
        ),
    )
