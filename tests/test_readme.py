"""The README and the pages of docs/ name only what is there, and their code is sound."""

import ast
import re
from pathlib import Path

import pytest
import torch
from archs import PICO, PICO_VMAMBA
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS

from sparx_mm import (
    VSSD,
    GroupMamba,
    PlainMamba,
    SparXMamba,
    SparXSwin,
    VMamba,
    VMUNetEncoder,
    config_path,
    engine,
)
from sparx_mm.analysis import count_complexity
from sparx_mm.libraries import LIBRARIES
from sparx_mm.model_index import weights_url
from sparx_mm.registry import MODELS as PARTS

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'docs').rglob('*.md'))
PAGES = ('README.md', 'CONTRIBUTING.md', *DOCS)
FAMILIES = {
    family.__name__: family
    for family in (SparXMamba, SparXSwin, VMamba, VSSD, GroupMamba, PlainMamba, VMUNetEncoder)
}


def _text(page):
    return (ROOT / page).read_text()


def _blocks(page, language):
    return re.findall(rf'^```{language}\n(.*?)^```', _text(page), re.M | re.S)


def _commands(page):
    """Tools and their arguments in the shell blocks of a page."""
    shell = ''.join(_blocks(page, 'shell')).replace('\\\n', ' ')
    return re.findall(r'^(?:\S*python )?(tools/\w+\.(?:py|sh)) ([^#\n]*)', shell, re.M)


def test_the_readme_is_short():
    assert len(_text('README.md').splitlines()) <= 150


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\(([^)]+)\)', _text(page))
    local = [link.partition('#')[0] for link in links if '://' not in link]
    folder = (ROOT / page).parent
    missing = [link for link in local if not (folder / link).exists()]
    assert not missing
    assert local or page != 'README.md'


@pytest.mark.parametrize('page', PAGES)
def test_links_to_headings_lead_somewhere(page):
    for link in re.findall(r'\]\(([^)]+\.md#[^)]+|#[^)]+)\)', _text(page)):
        file, _, anchor = link.partition('#')
        target = (ROOT / page).parent / file if file else ROOT / page
        headings = re.findall(r'^#+ (.+)$', target.read_text(), re.M)
        assert anchor in [re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in headings]


def test_every_page_is_on_the_map():
    links = re.findall(r'\]\(([^)#]+)', _text('docs/README.md'))
    mapped = {str((ROOT / 'docs' / link).resolve().relative_to(ROOT)) for link in links}
    assert set(DOCS) - {'docs/README.md'} <= mapped


@pytest.mark.parametrize('page', PAGES)
def test_files_in_commands_exist(page):
    named = set(re.findall(r'(?<![\w/])(?:tools|configs)/[\w/]+\.(?:py|sh)\b', _text(page)))
    assert not [name for name in named if not (ROOT / name).is_file()]
    assert len(named) >= 3 or page != 'README.md'


def test_options_in_commands_exist():
    shared = ''.join(path.read_text() for path in (ROOT / 'sparx_mm').rglob('cli.py'))
    commands = [command for page in PAGES for command in _commands(page)]
    assert len(commands) >= 40
    for tool, arguments in commands:
        # the scripts hand their options on
        code = shared + _text(re.sub(r'\w+_(train|test)\.sh', r'\1.py', tool))
        missing = [name for name in re.findall(r'--[\w-]+', arguments) if f"'{name}'" not in code]
        assert not missing, tool


def test_make_targets_exist():
    text = ''.join(map(_text, PAGES))
    targets = set(re.findall(r'(?:`|^)make ([\w-]+)', text, re.M))
    rules = set(re.findall(r'^([\w-]+):.*##', _text('Makefile'), re.M))
    assert {'demo', 'test'} <= targets <= rules


@pytest.mark.parametrize('page', PAGES)
def test_python_blocks_compile(page):
    for block in _blocks(page, 'python'):
        compile(block, page, 'exec')


def _python_blocks(*pages):
    return [
        pytest.param(page, block, id=f'{page}-{i}')
        for page in pages
        for i, block in enumerate(_blocks(page, 'python'))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    'page,block', _python_blocks('docs/extending.md', 'docs/released_weights.md', 'docs/vmamba.md')
)
def test_the_examples_run(page, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for registry in (PARTS, MODELS):
        monkeypatch.setattr(registry, '_module_dict', dict(registry.module_dict))
    monkeypatch.setitem(LIBRARIES, 'mmpose', None)
    # small networks of the same names
    monkeypatch.setitem(SparXMamba.arch_zoo, 'tiny', PICO)
    monkeypatch.setitem(VMamba.arch_zoo, 'tiny', PICO_VMAMBA)
    exec(compile(block, page, 'exec'), {'__name__': 'example'})


@pytest.mark.parametrize('page,block', _python_blocks('docs/sparx.md', 'docs/learned_inputs.md'))
def test_the_statements_of_a_page_hold(page, block):
    with torch.device('meta'):
        exec(compile(block, page, 'exec'), {'__name__': 'example'})


def test_examples_of_extensions_are_short():
    blocks = _blocks('docs/extending.md', 'python')
    assert len(blocks) == 5 and all(len(block.splitlines()) <= 30 for block in blocks)


def _texts():
    """Constant parts of the strings in the code."""
    for folder in ('sparx_mm', 'kernels'):
        for path in (ROOT / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.slow
def test_the_lines_of_the_faq_are_those_of_the_code():
    texts = list(_texts())
    lines = _blocks('docs/faq.md', 'text')
    parts = [part.strip() for line in lines for part in line.split('…')]
    assert len(lines) > 25
    assert not [part for part in parts if not any(part in text for text in texts)]


def test_the_faq_has_an_answer_for_each_of_25_symptoms():
    sections = re.split('^### ', _text('docs/faq.md'), flags=re.M)[1:]
    symptoms = {section.partition('\n')[0] for section in sections}
    assert len(symptoms) == len(sections) >= 25


@pytest.mark.slow
def test_plain_pytorch_runs():
    (block,) = (block for block in _blocks('README.md', 'python') if 'torch.rand' in block)
    names = {}
    exec(compile(block, 'README.md', 'exec'), names)
    assert [224 // m.shape[-1] for m in names['maps']] == [4, 8, 16, 32]


@pytest.mark.parametrize('page', ['README.md', 'docs/backbones.md'])
def test_the_config_builds(page):
    (block,) = (block for block in _blocks(page, 'python') if 'custom_imports' in block)
    model = Config.fromstring(block, '.py').model
    model.backbone.pop('_delete_')
    with torch.device('meta'):
        backbone = MODELS.build(model.backbone)
    assert backbone.arch['embed_dims'] == tuple(model.neck.in_channels)


def test_archs_of_the_page_build():
    (block,) = (block for block in _blocks('docs/backbones.md', 'python') if 'SparXSwin' in block)
    archs = []
    for part in block.split('arch = ')[1:]:
        family = SparXSwin if 'SparXSwin' in part else SparXMamba
        with torch.device('meta'):
            archs.append(family(eval(part)).arch)
    assert archs[0]['mixer']['window_size'] == 12
    assert archs[1]['depths'] == (2, 2, 9, 2)
    assert archs[2]['connections']['aggregator']['attn_scale'] == 'learnable'


def test_the_variants_of_the_page_exist():
    rows = re.findall(r'^\| [\w ]+ \| (`tiny-.*) \|$', _text('docs/backbones.md'), re.M)
    names = re.findall(r'`([\w-]+)`', ''.join(rows))
    assert len(names) == 18
    assert all('tiny' + name.removeprefix('tiny') in SparXMamba.arch_zoo for name in names)


def test_hooks_of_an_own_config_exist():
    (block,) = _blocks('docs/own_configs.md', 'python')
    config = Config.fromstring(block, '.py')
    assert engine.__name__ in config.custom_imports.imports
    assert all(HOOKS.get(hook.type) for hook in config.default_hooks.values())


def _rows(page):
    """Return the cells of a table of archs, by family and arch."""
    family, rows = None, {}
    for line in re.findall(r'^\|(.*\| `\w+` \|.*)\|$', _text(page), re.M):
        name, arch, *cells = (cell.strip().strip('`') for cell in line.split('|'))
        family = name or family
        rows[family, arch] = cells
    sizes = {'micro', 'tiny', 'small', 'base', 'l1', 'l2', 'l3'}
    if page == 'README.md':
        # which has few lines
        sizes -= {'l1', 'l3'}
    assert set(rows) == {(f, a) for f, c in FAMILIES.items() for a in set(c.arch_zoo) & sizes}
    return rows


def test_the_tables_are_those_of_the_archs():
    short = _rows('README.md')
    for (family, arch), shown in _rows('docs/backbones.md').items():
        with torch.device('meta'):
            model = FAMILIES[family](arch)
        if family == 'PlainMamba':
            dims, depths = (str(model.arch[key]) for key in ('embed_dims', 'num_layers'))
        else:
            dims, depths = (' '.join(map(str, model.arch[key])) for key in ('embed_dims', 'depths'))
        count = f'{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M'
        assert shown == [dims, depths, count]
        assert short.get((family, arch), [dims, count])[:2] == [dims, count]


@pytest.mark.slow
def test_the_multiply_adds_are_counted():
    for (family, arch), cells in _rows('README.md').items():
        with torch.device('meta'):
            total = count_complexity(FAMILIES[family](arch), (224, 224)).total()
        assert cells[2] == f'{total.macs / 1e9:.1f}'


def test_names_for_the_command_and_of_models_exist():
    text = ''.join(map(_text, PAGES))
    tools = {path.stem.replace('_', '-') for path in (ROOT / 'tools').iterdir()}
    named = set(re.findall(r'(?:^|`)sparx-mm ([a-z][\w-]*)', text, re.M))
    assert {'train', 'infer'} <= named <= tools
    configs = set(re.findall(r'sparx_mm::(mm\w+/\w+\.py|\w+_\w+_[mtsb]\w*)', text))
    assert len(configs) >= 3
    for name in configs:
        assert config_path(name)
    for name in set(re.findall(r'sparx_mm://([a-z]\w*)', text)):
        assert weights_url(name)


def test_weights_are_those_of_the_configs():
    short = dict(micro='m', tiny='t', small='s', base='b')
    for (family, arch), cells in _rows('README.md').items():
        if family == 'VMUNetEncoder':
            # which starts from another backbone's file
            continue
        prefix = dict(SparXMamba='sparx_mamba', SparXSwin='sparx_swin').get(family, family.lower())
        config = Config.fromfile(
            ROOT / f'configs/_base_/backbones/{prefix}_{short.get(arch, arch)}.py'
        )
        url = config.get('init_cfg', {}).get('checkpoint', '').partition('#')[0]
        assert cells[-1] == (f'[file]({url})' if url else 'not released')
