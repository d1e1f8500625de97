"""Archs as data: completed from a table, merged, picked by stage and layer."""

import copy

import pytest
from archs import PICO

from sparx_mm import VSSD, SparXMamba, SparXSwin, VMamba
from sparx_mm.backbones.arch import CONNECTIONS, KEYS, layer_value, resolve_arch, stage_arch
from sparx_mm.backbones.sparx_ablations import ABLATIONS
from sparx_mm.mixers import SS2D


def resolve(arch, family=SparXMamba):
    return resolve_arch(arch, family.arch_zoo, family.arch_defaults, family.__name__)


def test_every_key_has_a_value():
    assert set(resolve(PICO)) == set(KEYS) == set(resolve('tiny'))


def test_a_plain_chain_needs_no_connections():
    arch = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 2, 1))
    assert resolve(arch)['connections'] is None
    assert resolve(dict(base='tiny', connections=None))['connections'] is None
    model = SparXMamba(arch)
    assert all(not sources for stage in model.stages for sources in stage.sources)


def test_connections_are_completed():
    given = dict(starts=0, aggregator=dict(attn_scale='learnable'))
    connections = resolve(dict(PICO, connections=given))['connections']
    assert connections == dict(
        CONNECTIONS,
        starts=0,
        aggregator=dict(type='DMCA', reduction=(8, 4, 2, 1), attn_scale='learnable'),
    )
    # of another type nothing is left
    given = dict(starts=0, aggregator=dict(type='ConcatAggregator'))
    connections = resolve(dict(PICO, connections=given))['connections']
    assert connections['aggregator'] == dict(type='ConcatAggregator')


def test_an_arch_that_changes_a_named_one():
    arch = resolve(dict(base='tiny', mixer=dict(window_size=12)), SparXSwin)
    mixer = dict(
        type='ShiftedWindowAttention',
        shifted=dict(alternate=(False, True)),
        num_heads=(3, 6, 10, 18),
        window_size=12,
    )
    assert arch == {**resolve('tiny', SparXSwin), 'mixer': mixer}
    # another type is another part
    arch = resolve(dict(base='small', stem=dict(type='PatchEmbed')))
    assert arch['stem'] == dict(type='PatchEmbed')
    assert resolve('small')['stem'] == dict(type='ConvStem', num_convs=3)


@pytest.mark.parametrize('alternate', [False, True])
def test_one_change_reaches_the_parts_of_all_stages_and_layers(alternate):
    parts = (dict(type='SS2D'), dict(type='SSM')) * 2
    mixer = dict(alternate=parts) if alternate else parts
    zoo = dict(mixed=dict(PICO, mixer=mixer))
    arch = dict(base='mixed', mixer=dict(ssm_ratio=1))
    mixer = resolve_arch(arch, zoo, SparXMamba.arch_defaults)['mixer']
    mixer = mixer['alternate'] if alternate else mixer
    assert mixer == tuple(dict(part, ssm_ratio=1) for part in parts)
    # an alternation, or one for each stage, changes the part that was there
    changes = (dict(d_conv=3), dict(type='SSM')) * 2
    wanted = tuple(dict(type='SS2D', **c) if 'd_conv' in c else c for c in changes)
    assert resolve(dict(PICO, mixer=changes))['mixer'] == wanted
    assert resolve(dict(PICO, mixer=dict(alternate=changes)))['mixer'] == dict(alternate=wanted)
    # by stage over by stage, one by one; a stage without a part stays so
    zoo = dict(mixed=dict(PICO, ffn=(None, *[dict(type='MLP')] * 3)))
    arch = resolve_arch(dict(base='mixed', ffn=dict(ratio=2)), zoo, SparXMamba.arch_defaults)
    assert arch['ffn'] == (None, *[dict(type='MLP', ratio=2)] * 3)


def test_parts_for_another_number_of_stages_are_replaced():
    changes = (dict(type='NonCausalSSD', num_heads=2), dict(type='Attention', num_heads=4))
    arch = dict(embed_dims=(8, 16), depths=(1, 1), mixer=changes)
    assert VSSD(arch, out_indices=(0, 1)).arch['mixer'] == changes


@pytest.mark.parametrize('kind', ['SS2D', 'sparx_mm.SS2D', SS2D])
def test_one_type_however_it_is_written(kind):
    mixer = VMamba(dict(embed_dims=(8,) * 4, depths=(1,) * 4, mixer=dict(type=kind))).arch['mixer']
    assert (mixer['type'], mixer['d_conv'], mixer['bias']) == (kind, 3, False)


def test_what_layers_have_may_alternate():
    arch = resolve(dict(PICO, dpe=dict(alternate=(True, False)), skip_scale=False))
    layers = [layer_value(stage_arch(arch, 2), i) for i in range(3)]
    assert [layer['dpe'] for layer in layers] == [True, False, True]
    model = SparXMamba(dict(PICO, dpe=dict(alternate=(True, False))))
    kinds = [type(layer.dpe).__name__ for layer in model.stages[2].layers]
    assert kinds == ['DynamicPositionEncoding', 'Identity', 'DynamicPositionEncoding']


def test_an_ablation_changes_what_it_says_alone():
    tiny = resolve('tiny')
    for name, changes in ABLATIONS.items():
        arch = resolve(f'tiny-{name}')
        changed = {key for key in KEYS if arch[key] != tiny[key]}
        assert changed == set(changes), name


def test_nothing_given_is_changed():
    arch, defaults = copy.deepcopy(PICO), copy.deepcopy(SparXMamba.arch_defaults)
    resolved = resolve(arch)
    resolved['connections']['starts'] = resolved['mixer']['type'] = 'other'
    assert arch == PICO and SparXMamba.arch_defaults == defaults


def test_values_of_a_stage_and_of_a_layer():
    arch = dict(
        depths=(1, 2),
        dpe=True,
        mixer=dict(type='A', heads=(2, 4), scales=(1, 2, 4), on=dict(alternate=(False, True))),
        ffn=(None, dict(type='B', sizes=(3, 5))),
    )
    first, second = (stage_arch(arch, i) for i in range(2))
    assert (first['depths'], first['ffn'], second['dpe']) == (1, None, True)
    # a part of one stage may still give its options for all of them
    assert second['ffn'] == dict(type='B', sizes=5)
    # an alternation is by layer, not by stage
    assert second['mixer'] == dict(arch['mixer'], heads=4)
    assert [layer_value(second['mixer'], i)['on'] for i in range(3)] == [False, True, False]
    assert layer_value(dict(alternate=('x', 'y')), 1) == 'y'


@pytest.mark.parametrize(
    'arch, message',
    [
        ('huge', r"arch 'huge' of SparXMamba is unknown; use one of \['base', "),
        (dict(base='huge'), "arch 'huge' of SparXMamba"),
        (None, 'arch None of SparXMamba is unknown; use one of'),
        (dict(PICO, width=3), r"arch keys \['width'\] are unknown; allowed are"),
        (dict(embed_dims=(8, 16)), r"arch keys \['depths'\] are missing"),
        (dict(depths=(2, 2)), "are missing; give them, or base='tiny' for"),
        (dict(PICO, depths=(1, 2, 3)), "'embed_dims' needs one entry for each of the 3"),
        (dict(PICO, embed_dims=16), "'embed_dims' needs one entry for each of the 4 .* got 16"),
        (dict(PICO, dpe=(True,)), r"'dpe' needs one value, or one for each of the 4 .* \(True,\)"),
        (dict(PICO, mixer=None), "'mixer' must be a config, a dict, got None"),
        (dict(PICO, dpe='no'), "'dpe' must be True or False, got 'no'"),
        (dict(PICO, depths=(1, 1.5, 2, 1)), "'depths' needs ints from 1, got"),
        (dict(PICO, mixer=dict(alternate=())), 'alternate needs a sequence of one value or more'),
        (
            dict(PICO, stem=dict(alternate=(dict(type='PatchEmbed'),))),
            "'stem' cannot alternate: it has no layers",
        ),
        (
            dict(base='tiny', connections=dict(starts=(None, 5, 0, 9))),
            r'connections of stage 1: start must be None or an int in \[0, depth\) = \[0, 2\), got 5',
        ),
        (dict(PICO, ffn='MLP'), "'ffn' must be a config, a dict, got 'MLP'"),
        (dict(PICO, connections=(0, 1)), "'connections' must be a dict or None"),
        (dict(PICO, connections=dict(strides=2)), "connections needs 'starts'"),
        (
            dict(PICO, connections=dict(starts=0, width=2)),
            r"connections has no \['width'\]; it has",
        ),
        (
            dict(base='tiny', connections=dict(strides=(1, 1))),
            "arch key 'connections.strides' needs one value, or one for each of the 4 stages",
        ),
    ],
)
def test_wrong_arch(arch, message):
    with pytest.raises(ValueError, match=message):
        resolve(arch)
