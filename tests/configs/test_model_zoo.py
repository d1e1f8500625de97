"""The model index lists every config, and its facts are those of configs, counts and pages.

Run as a program, it writes docs/model_zoo.md anew.
"""

import re
from pathlib import Path

import pytest
import torch
from detection import ROOT
from mmengine.config import Config
from mmengine.fileio import load as read_file
from zoo_page import make_page

from sparx_mm import VMamba
from sparx_mm.analysis import count_complexity, load_model
from sparx_mm.model_index import FOLDER, read_models

PAGE = ROOT / 'docs/model_zoo.md'
MODELS = read_models()
LEAVES = {
    str(path.relative_to(ROOT))
    for path in ROOT.glob('configs/mm*/**/*.py')
    if '_base_' not in path.parts
}
# counted in `make test`: one for each head and each family
COUNTED = (
    'groupmamba_t_in1k',
    'mask_rcnn_sparx_t_3x',
    'oriented_rcnn_sparx_t_1x',
    'retinanet_plainmamba_l1_1x',
    'semantic_fpn_sparx_swin_t',
    'sparx_t_in1k',
    'upernet_vssd_m',
    'vmamba_t_in1k',
    'vmunet_vaihingen_256',
)
# a row of the README and the model of its two columns of AP
ROW = r'\| (?:`(\w+)`)? ?\| `(\w+)` \|[^|]+\|[^|]+\|[^|]+\|([^|]+)\|([^|]+)\|[^|]+\|'


def config(name):
    return Config.fromfile(ROOT / MODELS[name]['Config'])


def printed(name):
    results = MODELS.get(name, {}).get('Results', ())
    return ' / '.join(str(value) for one in results for value in one['Metrics'].values())


def test_every_config_is_listed_and_every_listed_file_exists():
    assert {model['Config'] for model in MODELS.values()} == LEAVES
    imported = read_file(ROOT / 'model-index.yml')['Import']
    assert set(imported) == {str(p.relative_to(ROOT)) for p in ROOT.glob('configs/**/metafile*')}
    for name, model in MODELS.items():
        # a file of other weights for the same config
        assert name.replace('_mesa', '') == Path(model['Config']).stem
    names = [entry['Name'] for path in imported for entry in read_file(ROOT / path)['Models']]
    assert len(names) == len(MODELS)


def test_openmmlabs_library_reads_the_index():
    library = pytest.importorskip('modelindex.load_model_index')
    index = library.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert {model.name for model in index.models} == set(MODELS)
    # what a model has from its family
    assert all(model.full_model.paper['URL'] for model in index.models)
    assert {model.in_collection for model in index.models} == {c.name for c in index.collections}


def test_mmpretrain_takes_our_classifiers(monkeypatch):
    apis = pytest.importorskip('mmpretrain.apis.model')
    monkeypatch.setattr(apis.ModelHub, '_models_dict', {})
    index = FOLDER / 'model-index.yml'
    apis.ModelHub.register_model_index(index, config_prefix=FOLDER)
    with torch.device('meta'):
        model = apis.get_model('vmamba_t_in1k', pretrained=False)
    assert isinstance(model.backbone, VMamba)


# all of them take minutes
MARKED = [pytest.param(n, marks=() if n in COUNTED else pytest.mark.faults) for n in MODELS]


@pytest.mark.parametrize('name', MARKED)
def test_counts_are_those_of_the_counter(name):
    with torch.device('meta'):
        model, shape = load_model(str(ROOT / MODELS[name]['Config']))
        total = count_complexity(model, shape).total()
    facts = MODELS[name]['Metadata']
    assert (facts['Parameters'], facts['FLOPs']) == (total.params, total.macs)


def test_one_network_has_one_count():
    for name, model in MODELS.items():
        if name.endswith('_3x'):
            other = MODELS[name.replace('_3x', '_1x')]['Metadata']
            for key in ('Parameters', 'FLOPs'):
                assert model['Metadata'][key] == other[key]
    assert set(COUNTED) <= set(MODELS)


@pytest.mark.parametrize('name', MODELS)
def test_facts_are_those_of_the_config(name):
    cfg, facts = config(name), MODELS[name]['Metadata']
    assert facts.get('Epochs') == cfg.train_cfg.get('max_epochs')
    assert facts.get('Iterations') == cfg.train_cfg.get('max_iters')
    if 'demo' not in name:
        assert facts['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    family = MODELS[name]['In Collection']
    # two papers have one encoder
    encoders = {'VM-UNet': 'VMUNetEncoder', 'CVMH-UNet': 'VMUNetEncoder'}
    backbone = cfg.model.backbone.type.removesuffix('Adapter')
    assert encoders.get(family, family.replace('-', '')) == backbone


def test_weights_of_classifiers_are_those_that_backbones_start_from():
    starts = {}
    for path in ROOT.glob('configs/_base_/backbones/*.py'):
        stem = path.stem.replace('sparx_mamba', 'sparx')
        init_cfg = Config.fromfile(path).get('init_cfg', {})
        # a part of another network's file is no classifier of this one's
        if init_cfg.get('type', 'Pretrained') == 'Pretrained':
            starts[f'{stem}_in1k'] = init_cfg.get('checkpoint', '')
    for name, url in starts.items():
        if 'demo' not in name:
            url, _, digits = url.partition('#sha256=')
            assert MODELS[name].get('Weights', '') == url
            # a config needs no digits
            assert digits in MODELS[name]['Metadata'].get('SHA-256', '')


def test_pages_have_the_same_numbers_and_digits():
    rows = re.findall(ROW, (ROOT / 'README.md').read_text())
    assert len(rows) >= 12
    short = dict(SparXMamba='sparx', SparXSwin='sparx_swin')
    family = ''
    for first, arch, once, thrice in rows:
        family = first or family
        # l1 and tiny are names of configs by their whole and by their first letter
        size = arch if arch[1:].isdecimal() else arch[0]
        stem = f'mask_rcnn_{short.get(family, family.lower())}_{size}'
        assert (once.strip(), thrice.strip()) == (printed(f'{stem}_1x'), printed(f'{stem}_3x'))
    rows = r'^\| `(\S+\.pth)` \|(.*?)\|(.*)\|$'
    files = re.findall(rows, (ROOT / 'docs/vssd.md').read_text(), re.M)
    listed = {m['Weights'].rpartition('/')[2]: m for m in MODELS.values() if 'Weights' in m}
    assert len(files) >= 13
    for file, digits, numbers in files:
        assert listed[file]['Metadata'].get('SHA-256', '') == digits.strip()
        assert re.findall(r'\d\d\.\d', numbers) == printed(listed[file]['Name']).split(' / ')


def test_the_page_is_that_of_the_metafiles():
    assert PAGE.read_text() == make_page(), 'run .venv/bin/python tests/configs/test_model_zoo.py'


if __name__ == '__main__':
    PAGE.write_text(make_page())
