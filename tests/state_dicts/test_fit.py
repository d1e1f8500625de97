"""A file covers the backbone, or the error says why not."""

import re

import parity
import pytest
import torch
from archs import PICO

from sparx_mm import SparXMamba
from sparx_mm.errors import UserError
from sparx_mm.state_dicts import SPARX, CoverageError, fit, resize_position_table

FLAVOURS, VARIANTS = ('cls', 'det', 'seg'), 'tsb'
ZOO = SparXMamba.arch_zoo


def released(flavour, variant, prefix=''):
    """A released file's names, with zeros that take no memory."""
    return {
        prefix + name: torch.zeros(()).expand(shape)
        for name, shape, _ in parity.manifest(flavour, variant)
    }


def backbone(flavour, variant):
    """The state dict of a dense backbone of ours."""
    return SPARX.to_own(released(flavour, variant))


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('file', FLAVOURS)
@pytest.mark.parametrize('model', ['det', 'seg'])
def test_every_task_from_every_task(model, file, variant):
    own = backbone(model, variant)
    report = fit(own, released(file, variant), SPARX, '', ZOO)
    missing, unused = set(own) - set(report.weights), set(report.unused)
    assert missing == set(report.missing)
    # just what one of the two has and the other one lacks
    scales = {n for n in own if n.endswith('.proj.scale')}
    norms = {n for n in own if n.startswith('norms.')}
    assert missing == (scales if file != 'det' else set()) | (norms if file == 'cls' else set())
    assert {n for n in unused if n.startswith('classifier.')} == (
        {f'classifier.{i}.{p}' for i in (0, 3) for p in ('weight', 'bias')}
        if file == 'cls'
        else set()
    )
    rest = {n for n in unused if not n.startswith('classifier.')}
    assert bool(rest) == (file == 'det' and model == 'seg')
    assert all(n.endswith('.proj.scale') for n in rest)
    assert '\n' not in str(report)


@pytest.mark.parametrize('prefix', ['backbone.', 'module.ema.backbone.'])
def test_any_prefix(prefix):
    own = backbone('det', 't')
    file = {**released('det', 't', prefix), 'neck.weight': torch.ones(1)}
    report = fit(own, file, SPARX, prefix, ZOO)
    assert report.weights.keys() == own.keys()
    assert not report.missing and not report.unused


@pytest.mark.parametrize('file', VARIANTS)
@pytest.mark.parametrize('model', VARIANTS)
def test_other_variants_are_named(file, model):
    names = {v: parity.ARCHS[v] for v in VARIANTS}
    if file == model:
        return
    with pytest.raises(CoverageError) as error:
        fit(backbone('seg', model), released('cls', file), SPARX, '', ZOO)
    assert str(error.value) == (f"this is a '{names[file]}' file, the model is '{names[model]}'")


def test_an_arch_without_a_name_is_described():
    own = backbone('seg', 't')
    file = {
        name: value
        for name, value in released('seg', 't').items()
        if not name.startswith('layers.2.blocks.6.')
    }
    with pytest.raises(CoverageError) as error:
        fit(own, file, SPARX, '', ZOO)
    assert str(error.value) == (
        'the file has layers and channels 2x96 2x192 6x320 2x512 by stage, '
        'the model 2x96 2x192 7x320 2x512'
    )


@pytest.mark.parametrize(
    'given,there,hint',
    [
        ('', ['backbone.'], "did you mean prefix='backbone.'?"),
        ('backbone.', [''], 'did you mean prefix=None?'),
        ('', ['a.', 'b.'], "did you mean prefix='a.' or 'b.'?"),
    ],
)
def test_prefixes_are_suggested(given, there, hint):
    file = {}
    for prefix in there:
        file.update(released('seg', 't', prefix))
    with pytest.raises(CoverageError, match='no SparX backbone') as error:
        fit(backbone('seg', 't'), file, SPARX, given, ZOO)
    assert str(error.value).endswith(hint)


def test_a_file_of_another_network_shows_what_it_has():
    file = {'conv1.weight': torch.ones(1), 'layers.0.blocks.0.mlp.fc1.weight': torch.ones(1)}
    with pytest.raises(CoverageError, match=r'holds no .* are conv1\.weight'):
        fit(backbone('seg', 't'), file, SPARX, '', ZOO)
    with pytest.raises(CoverageError, match='holds no tensors'):
        fit(backbone('seg', 't'), {}, SPARX, '', ZOO)


def kinds(names):
    return {re.sub(r'\d+', '', name) for name in names}


@pytest.mark.slow
def test_every_single_tensor_counts():
    # each kind of tensor of a released file, in fewer layers
    own = SparXMamba(dict(PICO, depths=(2, 2, 2, 2))).state_dict()
    whole = SPARX.to_released(own)
    assert kinds(whole) == kinds(released('seg', 't'))
    optional = ('norm.', 'num_batches_tracked')
    for name in whole:
        file = {n: v for n, v in whole.items() if n != name}
        if name.startswith(optional[0]) or name.endswith(optional[1]):
            fit(own, file, SPARX, '', ZOO)
            continue
        with pytest.raises(CoverageError) as error:
            fit(own, file, SPARX, '', ZOO)
        assert f'of {len(own)} tensors' in str(error.value)


def test_another_shape_is_not_there():
    own, file = backbone('seg', 't'), released('seg', 't')
    name = 'layers.2.blocks.3.mlp.fc1.weight'
    file[name] = torch.zeros(640, 320, 1, 1)
    with pytest.raises(CoverageError) as error:
        fit(own, file, SPARX, '', ZOO)
    assert str(error.value) == (
        'only 668 of 669 tensors of the backbone fit: it has '
        'stages.2.layers.3.ffn.fc1.weight (640, 320, 1, 1) instead of '
        '(1280, 320, 1, 1); give the file of this arch'
    )


def test_what_has_no_place_is_an_error():
    own = {n: v for n, v in backbone('seg', 't').items() if '.dpe.' not in n}
    with pytest.raises(CoverageError, match=r'no place for .*\.dpe\.weight'):
        fit(own, released('seg', 't'), SPARX, '', ZOO)


@pytest.mark.parametrize('last', [0, 1, 2])
def test_stages_that_are_not_built_may_be_left_over(last):
    wanted = SparXMamba('tiny', out_indices=(last,))
    report = fit(wanted.state_dict(), released('seg', 't'), SPARX, '', ZOO)
    assert not report.missing
    kept = {n for n in wanted.state_dict() if 'num_batches' not in n}
    assert kept <= report.weights.keys()
    assert f'norms.{last}.weight' in kept
    assert f'norms.{last + 1}.weight' in report.unused
    assert f'downsamples.{last}.0.weight' in report.unused
    # but one that is built must be there
    file = released('seg', 't')
    file.pop('patch_embed.0.weight')
    with pytest.raises(CoverageError, match=r'lacks stem\.0\.weight'):
        fit(wanted.state_dict(), file, SPARX, '', ZOO)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_numbers_must_be_finite(value):
    file = released('seg', 't')
    for name in ('patch_embed.1.running_var', 'norm.0.bias'):
        file[name] = file[name].clone()
        file[name][0] = value
    with pytest.raises(CoverageError) as error:
        fit(backbone('seg', 't'), file, SPARX, '', ZOO)
    message = str(error.value)
    assert message.startswith('it has NaN or infinity in stem.1.running_var, ')
    assert 'norms.0.bias' in message


def test_a_tensor_of_another_kind_is_not_there():
    own, file = backbone('seg', 't'), released('seg', 't')
    name = 'patch_embed.0.weight'
    for other in (file[name].bool(), 'text'):
        with pytest.raises(CoverageError, match=r'it has stem\.0\.weight'):
            fit(own, {**file, name: other}, SPARX, '', ZOO)


def test_numbers_are_finite_in_the_models_dtype():
    own, file = backbone('seg', 't'), released('seg', 't')
    file['patch_embed.1.bias'] = torch.full((48,), 1e300, dtype=torch.float64)
    with pytest.raises(CoverageError, match='infinity in stem.1.bias'):
        fit(own, file, SPARX, '', ZOO)
    file['patch_embed.1.bias'] = torch.ones(48).to(torch.float8_e4m3fn)
    assert 'stem.1.bias' in fit(own, file, SPARX, '', ZOO).weights


def test_a_table_of_another_window_is_resized():
    name = 'stages.0.layers.0.mixer.relative_position_bias_table'
    own, table = {name: torch.zeros(169, 2)}, torch.rand(529, 2)
    report = fit(own, {name: table}, SPARX, '', ZOO)
    assert report.weights[name].equal(resize_position_table(table, 169))
    assert report.resized == [name] and f'resized: {name}' in str(report)
    assert not report.missing and not report.unused
    # but there is no way from one number of heads to another
    with pytest.raises(CoverageError, match=r'\(529, 3\) instead of \(169, 2'):
        fit(own, {name: torch.rand(529, 3)}, SPARX, '', ZOO)
    table[0, 0] = float('nan')
    with pytest.raises(CoverageError, match='NaN or infinity'):
        fit(own, {name: table}, SPARX, '', ZOO)


def test_errors_are_the_users():
    assert issubclass(CoverageError, UserError)
