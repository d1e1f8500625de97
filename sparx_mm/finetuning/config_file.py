"""The config file of a run, to read and to go on with by hand."""

import os
import os.path as osp
from collections.abc import Mapping, Sequence
from textwrap import fill, indent
from typing import Any

from mmengine.config import Config

from ..checkpoint_io import write_text

# of the user's interest first; the rest follows
ORDER = (
    'model',
    'load_from',
    'train_dataloader',
    'val_dataloader',
    'val_evaluator',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'randomness',
    'work_dir',
)
SAME = dict(test_dataloader='val_dataloader', test_evaluator='val_evaluator')
WIDTH = 100


def format_config(cfg: Config, head: Sequence[str], comments: Mapping[str, str]) -> str:
    """Write a config as text, one section for each key.

    Args:
        cfg (Config): A whole config.
        head (Sequence[str]): Lines at its beginning.
        comments (Mapping[str, str]): Comments by key.

    Returns:
        str: Text that `mmengine.config.Config` reads.
    """
    content, parts = cfg.to_dict(), ['\n'.join(f'# {line}'.rstrip() for line in head)]
    keys = [key for key in ORDER if key in content]
    for key in (*keys, *(key for key in content if key not in keys)):
        comment = f'# {comments[key]}\n' if key in comments else ''
        twin = SAME.get(key)
        if twin and content[key] == content.get(twin):
            parts.append(f'{comment}{key} = {twin}')
        else:
            parts.append(f'{comment}{key} = {format_value(content[key], len(key) + 3)}')
    return '\n\n'.join(parts) + '\n'


def format_value(value: Any, used: int = 0) -> str:
    """Write a value of a config, in one line if it fits.

    mmengine's own layout sorts keys, so that a type is far from the beginning of its part,
    and gives each number a line.

    Args:
        value (Any): Dicts, lists and tuples of plain values.
        used (int): Characters of the first line before it. Default: 0.

    Returns:
        str: Text that evaluates to it.
    """
    if isinstance(value, dict):
        named = all(isinstance(key, str) and key.isidentifier() for key in value)
        start, end = ('dict(', ')') if named else ('{', '}')
        items = [
            (f'{key}=' if named else f'{key!r}: ', one)
            # the type of a part first
            for key, one in sorted(value.items(), key=lambda item: item[0] != 'type')
        ]
    elif isinstance(value, (list, tuple)):
        start, end = '[]' if isinstance(value, list) else '()'
        items = [('', one) for one in value]
    else:
        return repr(value)
    texts = [name + format_value(one, len(name) + 5) for name, one in items]
    comma = ',' * (isinstance(value, tuple) and len(texts) == 1)
    line = f'{start}{", ".join(texts)}{comma}{end}'
    if '\n' not in line and used + len(line) <= WIDTH - 4:
        return line
    if not any(isinstance(one, (dict, list, tuple)) for _, one in items) and start in '[(':
        # names may have spaces, at which no line may end
        words = ' '.join(f'{text},'.replace(' ', '\0') for text in texts)
        lines = fill(words, WIDTH - 16, break_long_words=False, break_on_hyphens=False)
        return f'{start}\n{indent(lines.replace(chr(0), " "), "    ")}\n{end}'
    return f'{start}\n{indent("".join(f"{text},{chr(10)}" for text in texts), "    ")}{end}'


def write_config(path: str, text: str) -> str | None:
    """Write the config of a run, and keep another one that is there.

    Args:
        path (str): The file.
        text (str): Its content.

    Returns:
        str or None: The file that the other one was moved to; None if there was none.
    """
    moved = None
    if osp.isfile(path):
        with open(path, encoding='utf-8') as file:
            if file.read() != text:
                moved = '.previous'.join(osp.splitext(path))
                os.replace(path, moved)
    write_text(path, text)
    return moved
