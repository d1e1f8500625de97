"""The README names only what is there."""

import re
from pathlib import Path

import pytest
import torch

from sparx_mm import VSSD, SparXMamba, SparXSwin, VMamba

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted(f'docs/{path.name}' for path in (ROOT / 'docs').glob('*.md'))
PAGES = ('README.md', 'CONTRIBUTING.md', *DOCS)


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\(([^)]+)\)', (ROOT / page).read_text())
    local = [link.partition('#')[0] for link in links if '://' not in link]
    folder = (ROOT / page).parent
    missing = [link for link in local if not (folder / link).exists()]
    assert not missing
    assert local or page != 'README.md'


def test_files_in_commands_exist():
    text = (ROOT / 'README.md').read_text()
    named = set(re.findall(r'\b(?:tools|configs)/[\w/]+\.py\b', text))
    assert len(named) >= 3
    assert all((ROOT / name).is_file() for name in named)


def test_options_in_commands_exist():
    commands = re.findall(
        r'^\.venv/bin/python (tools/\w+\.py) (.*)$', _text('docs/tracking.md'), re.M
    )
    assert len(commands) >= 7
    for tool, arguments in commands:
        code = (ROOT / tool).read_text() + (ROOT / 'sparx_mm/run/cli.py').read_text()
        missing = [name for name in re.findall(r'--[\w-]+', arguments) if f"'{name}'" not in code]
        assert not missing, tool
        configs = re.findall(r'configs/\S+', arguments)
        assert all((ROOT / config).is_file() for config in configs)


def _text(page):
    return (ROOT / page).read_text()


def test_make_targets_exist():
    text = ''.join((ROOT / page).read_text() for page in PAGES)
    targets = set(re.findall(r'`make ([\w-]+)', text))
    rules = set(re.findall(r'^([\w-]+):.*##', (ROOT / 'Makefile').read_text(), re.M))
    assert {'demo', 'test'} <= targets <= rules


def test_the_table_is_that_of_the_archs():
    text = (ROOT / 'README.md').read_text()
    pattern = r'^\| (?:`(\w+)`)? *\| `(\w+)` \| ([\d ]+) \| ([\d ]+) \| ([\d.]+) M \|$'
    family, shown = None, {}
    for name, arch, *cells in re.findall(pattern, text, re.M):
        family = name or family
        shown[family, arch] = cells
    wanted = {}
    for family in (SparXMamba, SparXSwin, VMamba, VSSD):
        for name in set(family.arch_zoo) & {'micro', 'tiny', 'small', 'base'}:
            with torch.device('meta'):
                model = family(name)
            lists = [' '.join(map(str, model.arch[key])) for key in ('embed_dims', 'depths')]
            count = sum(p.numel() for p in model.parameters())
            wanted[family.__name__, name] = [*lists, f'{count / 1e6:.1f}']
    assert shown == wanted
