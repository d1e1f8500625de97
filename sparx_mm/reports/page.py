"""A page of HTML in one file: no script, no font and no picture from elsewhere."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6575; --line: #dfe3e8; --mark: #0072b2 }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1.25rem clamp(.8rem, 3vw, 2.5rem) 4rem;
  font: 16px/1.5 system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; color: var(--ink) }
h1 { font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line) }
p, figcaption { color: var(--soft); margin: .25rem 0; overflow-wrap: anywhere }
img { display: block; max-width: 100%; height: auto }
.numbers { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem }
.numbers div { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .75rem }
.numbers b { display: block; font-size: 1.35rem; color: var(--mark) }
.numbers span { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere }
.scroll { overflow-x: auto; max-height: 34rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem clamp(.35rem, 1.2vw, .8rem); text-align: right; border-bottom: 1px solid var(--line) }
th { position: sticky; top: 0; background: #fff; font-weight: 600 }
th:first-child, td:first-child { text-align: left }
.cases { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)) }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; min-width: 0 }
.pair { display: flex; flex-wrap: wrap; gap: .5rem }
.pair div { flex: 1 1 14rem; min-width: 0 }
.pair img { width: 100% }
.pair small { color: var(--soft) }
figcaption b { color: var(--ink) }
"""


def make_page(title: str, facts: Sequence[str], sections: Iterable[tuple[str, str]]) -> str:
    """Make a page.

    Args:
        title (str): Title, plain text.
        facts (Sequence[str]): Lines below it, plain text.
        sections (Iterable[tuple[str, str]]): Pairs of a heading, plain text, and HTML.

    Returns:
        str: HTML.
    """
    lines = ''.join(f'<p>{escape(fact)}</p>\n' for fact in facts)
    body = ''.join(
        f'<section>\n<h2>{escape(heading)}</h2>\n{html}\n</section>\n' for heading, html in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # without it a browser asks the folder of the page for one
        '<link rel="icon" href="data:,">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f'<h1>{escape(title)}</h1>\n{lines}{body}</body>\n</html>\n'
    )


def make_numbers(numbers: dict[str, str]) -> str:
    """Make boxes of numbers with their names.

    Args:
        numbers (dict): Texts by name.

    Returns:
        str: HTML.
    """
    boxes = ''.join(
        f'<div><b>{escape(value)}</b><span>{_breakable(name)}</span></div>'
        for name, value in numbers.items()
    )
    return f'<div class="numbers">{boxes}</div>'


def _breakable(name) -> str:
    # coco/bbox_mAP_50 has no space at which a line could end
    return re.sub('([/_])', r'\1<wbr>', escape(name))


def make_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table, the first column to the left and numbers to the right.

    Args:
        head (Sequence[str]): Names of the columns.
        rows (Iterable[Sequence[str]]): Texts of each row.

    Returns:
        str: HTML.
    """
    lines = [''.join(f'<th>{escape(name)}</th>' for name in head)]
    lines += [''.join(f'<td>{escape(cell)}</td>' for cell in row) for row in rows]
    body = ''.join(f'<tr>{line}</tr>\n' for line in lines)
    return f'<div class="scroll"><table>\n{body}</table></div>'


def make_image(content: bytes, kind: str, alt: str) -> str:
    """Make an image that is part of the page.

    Args:
        content (bytes): The file of the image.
        kind (str): ``'jpeg'``, ``'png'`` or ``'svg+xml'``.
        alt (str): What it shows, for readers who do not see it.

    Returns:
        str: HTML.
    """
    data = b64encode(content).decode()
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{data}">'


def make_case(name: str, note: str, pictures: dict[str, str]) -> str:
    """Make a figure of one image.

    Args:
        name (str): Name of the image.
        note (str): What was right and wrong.
        pictures (dict): HTML of the pictures by their titles.

    Returns:
        str: HTML.
    """
    parts = ''.join(
        f'<div><small>{escape(title)}</small>{html}</div>' for title, html in pictures.items()
    )
    return (
        f'<figure><div class="pair">{parts}</div>'
        f'<figcaption><b>{escape(name)}</b><br>{escape(note)}</figcaption></figure>'
    )
