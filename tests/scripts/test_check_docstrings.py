"""The lint of docstrings passes what it should, and names what it should not."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts/check_docstrings.py'
GOOD = '''
def two(a, b, *args, _hidden=None, **kwargs):
    """Join a and b.

    Args:
        a (Tensor): A map of shape
            (B, C, H, W).
        b (dict, optional): Options: any.
            Default: None.
        **kwargs: More options.

    Returns:
        str: Text.
    """


def shared(first, second):
    """Partition a map.

    Args:
        first, second: As in `two`.
    """


def one(a):
    """Bring `a` home."""


def _private(a, b):
    """Pass both on."""
    def inner(c, d):
        return c, d


class Part(Base):
    """A part.

    Args:
        dim (int): Channels.
        depth (int): Layers. Default: 1.
    """

    def __init__(self, dim, depth=1):
        self.dim = dim

    @property
    def size(self):
        """Channels and layers."""

    def forward(self, x, sources):
        return x

    def __exit__(self, kind, error, trace):
        """Embed nothing."""


class _Private:
    def forward(self, x, sources):
        return x
'''


def check(tmp_path, code):
    """Run the script; return its exit status and, per finding, line, name and error."""
    (tmp_path / 'code.py').write_text(code)
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False
    )
    assert not done.stderr
    start = f'{tmp_path}/code.py:'
    assert all(line.startswith(start) for line in done.stdout.splitlines())
    return done.returncode, done.stdout.replace(start, '').splitlines()


def test_good_code_passes(tmp_path):
    assert check(tmp_path, GOOD) == (0, [])


@pytest.mark.parametrize(
    'line',
    [
        'What it is.',
        'Whether it is.',
        'The map.',
        'A map.',
        'Version of torch.',
        'Gradients of the scan.',
        'Returns the map.',
        'Reading a file.',
        'Batched maps.',
        'Attention over rows.',
        '(B, C) -> (B, D).',
        'sum up.',
        '`forward` of the op.',
    ],
)
def test_a_first_line_without_an_imperative_verb(tmp_path, line):
    code = f'class A:\n    def _b(self):\n        """{line}"""\n'
    word = line.split()[0]
    error = f'2: _b: the first line begins with {word!r}, not with an imperative verb'
    assert check(tmp_path, code) == (1, [error])


@pytest.mark.parametrize('text', ['Do it', 'Do it\n    now.'])
def test_a_first_line_that_is_no_sentence(tmp_path, text):
    error = '1: a: the first line is not one sentence that ends with a period'
    assert check(tmp_path, f'def a():\n    """{text}"""\n') == (1, [error])


@pytest.mark.parametrize(
    'code, error',
    [
        ('def a(b, c): pass', '1: a: "Args:" lacks b, c'),
        ('def a(b, *, c):\n    """Do it."""', '1: a: "Args:" lacks b, c'),
        (
            'def a(b, c):\n    """Do it.\n\n    Args:\n        b: It.\n\n    c: no."""',
            '1: a: "Args:" lacks c',
        ),
        (
            'def a(b):\n    """Do it.\n\n    Args:\n        b: It.\n        c: Old."""',
            '1: a: "Args:" names c, which is no parameter',
        ),
        ('class A:\n    def b(self, c, d): pass', '2: b: "Args:" lacks c, d'),
        ('class A(B):\n    def b(self, c, d):\n        """Do it."""', '2: b: "Args:" lacks c, d'),
        (
            'class A:\n    """It."""\n    def __init__(self, c, d): pass',
            '3: __init__: "Args:" lacks c, d',
        ),
        ('if True:\n    def a(b, c): pass', '2: a: "Args:" lacks b, c'),
    ],
)
def test_parameters_that_are_missing_or_gone(tmp_path, code, error):
    assert check(tmp_path, code) == (1, [error])


def test_all_findings_are_printed(tmp_path):
    (tmp_path / 'more').mkdir()
    (tmp_path / 'more/file.py').write_text('"""Module."""')
    status, lines = check(tmp_path, 'def a(b, c):\n    """The a."""\n\n\ndef d(e, f): pass\n')
    assert status == 1 and [line.split(':')[0] for line in lines] == ['1', '1', '5']
