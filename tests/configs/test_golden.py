"""Every config against its golden dump: the values that mmengine resolves it to.

``tests/data/configs/LIBRARY.json`` holds, by dotted key, the commonest values among the library's
configs (``shared``) and what each config has instead. After a change that is meant, rewrite the
dumps and read their diff:

    .venv/bin/python tests/configs/test_golden.py
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
DUMPS = ROOT / 'tests/data/configs'
LEAVES = sorted(p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name != '_base_')
LIBRARIES = sorted({path.parent.name for path in LEAVES})
# a key of most configs that one lacks
MISSING = '"<missing>"'


def flatten(node, path=''):
    """Map dotted keys to the values of a config, as JSON.

    A list without dicts is one value, as are an empty list and an empty dict.
    """
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, (list, tuple)) and any(isinstance(x, (dict, list)) for x in node):
        items = enumerate(node)
    else:
        items = ()
    flat = {}
    for key, value in items:
        flat.update(flatten(value, f'{path}.{key}' if path else str(key)))
    return flat or {path: json.dumps(node)}


def resolve(library):
    """Map the names of a library's configs to what they are resolved to."""
    paths = [path for path in LEAVES if path.parent.name == library]
    return {path.stem: flatten(Config.fromfile(path).to_dict()) for path in paths}


def read_dump(library):
    """Map the names of a library's configs to what they were when dumped."""
    dump = json.loads((DUMPS / f'{library}.json').read_text())
    shared = dump.pop('shared')
    leaves = {}
    for name, own in dump.items():
        values = {key: json.dumps(value) for key, value in {**shared, **own}.items()}
        leaves[name] = {key: value for key, value in values.items() if value != MISSING}
    return leaves


def write_dump(library):
    """Write what a library's configs are resolved to, one value a line."""
    leaves = resolve(library)
    keys = sorted({key for leaf in leaves.values() for key in leaf})
    table = {key: [leaf.get(key, MISSING) for leaf in leaves.values()] for key in keys}
    common = {key: Counter(values).most_common(1)[0][0] for key, values in table.items()}
    dump = dict(shared={key: value for key, value in common.items() if value != MISSING})
    for i, name in enumerate(leaves):
        dump[name] = {key: table[key][i] for key in keys if table[key][i] != common[key]}
    parts = []
    for name, values in dump.items():
        lines = [f'    "{key}": {value}' for key, value in values.items()]
        parts.append(f'  "{name}": {{\n' + ',\n'.join(lines) + '\n  }')
    (DUMPS / f'{library}.json').write_text('{\n' + ',\n'.join(parts) + '\n}\n')


@pytest.mark.stack
@pytest.mark.parametrize('library', LIBRARIES)
def test_configs_are_their_dumps(library):
    found, dumped = resolve(library), read_dump(library)
    assert list(found) == list(dumped)
    for name in found:
        for key in sorted({**found[name], **dumped[name]}):
            now, then = found[name].get(key, MISSING), dumped[name].get(key, MISSING)
            assert now == then, f'{name}: {key} is {now}, in its dump {then}'


if __name__ == '__main__':
    for name in LIBRARIES:
        write_dump(name)
