"""Let pages link to files outside of docs/, by the same links on a forge and in the site.

The site has the files of docs/ at its root. A file elsewhere in the repository that a page
links to has its path in the repository there.
"""

import re
import shutil
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

_EXAMPLE = re.compile('^( +)Example:$', re.MULTILINE)
_LINK = re.compile(r'(?<=\]\()[^)\s#:]+(?=[)#])')


def _in_repository(file, config):
    """Return the path of a file in the repository."""
    root = Path(config.config_file_path).parent
    return Path(file.abs_src_path).relative_to(root).as_posix()


def _target(link, path):
    """Return the path that a link in the file of another path leads to."""
    return normpath(join(dirname(path), link))


# before mkdocstrings, which drops folders that are not there
@event_priority(100)
def on_config(config):
    """Lay out the package as it is installed, with kernels/ inside, for the API pages."""
    root = Path(config.config_file_path).parent
    package = root / 'build/api/sparx_mm'
    shutil.rmtree(package, ignore_errors=True)
    for folder, target in ((root / 'sparx_mm', package), (root / 'kernels', package / 'kernels')):
        for file in folder.rglob('*.py'):
            copy = target / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            # the section's name by which mkdocstrings tells doctests from text
            copy.write_text(_EXAMPLE.sub(r'\1Examples:', file.read_text()))
    return config


def on_files(files, config):
    """Add the files that pages link to, and those that these link to."""
    root = Path(config.config_file_path).parent
    pages = files.documentation_pages()
    for page in pages:
        path = _in_repository(page, config)
        for target in [_target(link, path) for link in _LINK.findall(page.content_string)]:
            inside = target.startswith('docs/') or files.get_file_from_path(target)
            if not inside and (root / target).is_file():
                file = File.generated(config, target, abs_src_path=str(root / target))
                files.append(file)
                if file.is_documentation_page():
                    pages.append(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Make links between files of the repository links between those of the site."""
    path, uri = _in_repository(page.file, config), page.file.src_uri

    def adapt(match):
        target = _target(match[0], path).removeprefix('docs/')
        return relpath(target, dirname(uri) or '.')

    if page.is_homepage:
        # it would list this page alone
        page.meta['hide'] = ['navigation']
    return _LINK.sub(adapt, markdown)
