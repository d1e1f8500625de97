"""`make docs` builds a site that is whole without a network, and fails at dead links."""

import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
# on each page of the API, the packages and modules whose public names it must have
API = dict(
    backbones=[
        *('backbones', 'mixers', 'aggregators', 'layers', 'necks'),
        *('decode_heads', 'distillation', 'registry'),
    ],
    checkpoints=['checkpoint_io', 'state_dicts'],
    kernels=['kernels'],
    running=['run', 'finetuning', 'data_checks', 'engine'],
    use=['model_index', 'inference', 'export', 'analysis', 'reports', 'demo'],
)


def build(config, folder, status=0):
    """Build a site, and return what mkdocs printed."""
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-f', config, '-d', folder]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'},
    )
    assert done.returncode == status, done.stderr
    return done.stderr


class Tags(HTMLParser):
    """What a page would load, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get('id'))
        if tag == 'link' and attributes.get('rel') in ('stylesheet', 'preconnect', 'icon'):
            self.loaded.append(attributes['href'])
        elif tag in ('script', 'img', 'iframe', 'source') and 'src' in attributes:
            self.loaded.append(attributes['src'])


@pytest.fixture(scope='module')
def site(tmp_path_factory, worker_id):
    """Pages by name, and the folder of a site, which is built once for all workers."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == 'master' else base.parent
    folder = base / 'site'
    with open(base / 'site.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # as in a new clone
            shutil.rmtree(ROOT / 'build/api', ignore_errors=True)
            build(ROOT / 'mkdocs.yml', base / 'unfinished')
            (base / 'unfinished').rename(folder)
    pages = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob('*.html')}
    return {name: Tags(text) for name, text in pages.items()}, folder


def test_every_page_is_there(site):
    pages, _ = site
    docs = {path.relative_to(ROOT / 'docs') for path in (ROOT / 'docs').rglob('*.md')}
    names = {str(path.with_suffix('.html')).replace('README', 'index') for path in docs}
    assert len(names) > 30 and names <= pages.keys()
    assert {'CHANGELOG.html', 'CONTRIBUTING.html', 'SECURITY.html'} <= pages.keys()


def _tags(html):
    return Counter(re.findall(r'<(h[1-6]|li|ol|ul|table|tr|td|pre|p|em|strong|img)\b', html))


def test_pages_read_the_same_on_a_forge(site):
    pages, folder = site
    forge = MarkdownIt('commonmark').enable('table')
    docs = {str(path.relative_to(ROOT / 'docs')): path for path in (ROOT / 'docs').rglob('*.md')}
    docs['index.md'] = docs.pop('README.md')
    around = {name: ROOT / name for name in ('CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md')}
    for name, path in {**docs, **around}.items():
        # whose text is in docstrings
        if name.startswith('api/'):
            continue
        text = (folder / name).with_suffix('.html').read_text()
        article = text.partition('<article')[2].partition('</article>')[0]
        assert _tags(article) == _tags(forge.render(path.read_text())), name


def test_a_page_loads_its_own_files_alone(site):
    pages, folder = site
    for name, page in pages.items():
        assert page.loaded
        for link in page.loaded:
            assert '//' not in link, name
            file = folder / link[1:] if link.startswith('/') else (folder / name).parent / link
            assert Path(re.sub(r'\?.*', '', str(file))).is_file(), name


def test_styles_load_nothing(site):
    _, folder = site
    styles = [*folder.rglob('*.css')]
    assert styles
    for path in styles:
        assert not re.findall(r'url\(["\']?(?:https?:)?//', path.read_text())


def _public_names(package):
    """Return the classes and functions that a package exports, or that a module defines."""
    folder = ROOT / ('kernels' if package == 'kernels' else f'sparx_mm/{package}')
    if not folder.is_dir():
        nodes = ast.parse(folder.with_suffix('.py').read_text()).body
        kinds = (ast.FunctionDef, ast.ClassDef)
        return {n.name for n in nodes if isinstance(n, kinds) and not n.name.startswith('_')}
    for node in ast.parse((folder / '__init__.py').read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '__all__':
            # constants have no docstring
            return {name for name in ast.literal_eval(node.value) if not name.isupper()}


@pytest.mark.parametrize('page,packages', API.items())
def test_the_api_has_every_public_name(site, page, packages):
    ids = site[0][f'api/{page}.html'].ids
    for package in packages:
        anchors = {i.rpartition('.')[2] for i in ids if i and i.startswith(f'sparx_mm.{package}.')}
        names = _public_names(package)
        assert names and names <= anchors


def test_dead_links_fail(tmp_path):
    folder = tmp_path / 'docs'
    folder.mkdir()
    links = ('b.md', '#zork', 'other.md#zork', '../LICENCE', 'other.md')
    (folder / 'README.md').write_text('# Page\n\n' + ', '.join(f'[a]({link})' for link in links))
    (folder / 'other.md').write_text('# Other\n')
    settings = (ROOT / 'mkdocs.yml').read_text()
    settings = re.sub(r'^(hooks|nav|plugins):(?: .*\n|\n(?:  .*\n)*)', '', settings, flags=re.M)
    (tmp_path / 'mkdocs.yml').write_text(settings + f'hooks: [{ROOT}/docs/site/around.py]\n')
    (tmp_path / 'sparx_mm').mkdir()
    said = build(tmp_path / 'mkdocs.yml', tmp_path / 'site', status=1)
    assert said.count('WARNING') == 4
    for link in ("'b.md'", "'#zork'", "anchor '#zork'", "'LICENCE'"):
        assert link in said
