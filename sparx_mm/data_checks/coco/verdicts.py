"""Lines that a check found about a large file, kept until the file changes."""

import json
import os
import os.path as osp
from collections.abc import Sequence

from ...checkpoint_io import WriteError, write_text

# bytes; a smaller file is checked again in no time
WORTH_KEEPING = 1_000_000
# the oldest are dropped first
MAX_VERDICTS = 100
# raise it when a check changes
VERSION = 5


def verdict_key(paths: Sequence[str], *facts) -> str | None:
    """Return a key that changes with any of the files and facts.

    Args:
        paths (Sequence[str]): The file that is checked, then the files and
            folders that its check looks at; all exist.
        *facts: Whatever else the verdict depends on; they are compared as text.

    Returns:
        str or None: The key; None if the file is too small to be kept.
    """
    stats = [os.stat(path) for path in paths]
    if stats[0].st_size < WORTH_KEEPING:
        return None
    files = [
        (osp.abspath(path), stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats)
    ]
    return repr((VERSION, files, facts))


def find_verdict(key: str | None) -> list[str] | None:
    """Return the lines that were kept; None if there are none.

    Args:
        key (str, optional): What `verdict_key` returns.
    """
    return _read().get(key)


def keep_verdict(key: str | None, lines: list[str]) -> None:
    """Keep the lines of a check without a fault, if the cache can be written.

    Args:
        key (str, optional): What `verdict_key` returns. None: nothing is kept.
        lines (list[str]): The lines.
    """
    if key is None:
        return
    verdicts = {**_read(), key: lines}
    path = _path()
    try:
        os.makedirs(osp.dirname(path), exist_ok=True)
        write_text(path, json.dumps(dict([*verdicts.items()][-MAX_VERDICTS:])))
    except (OSError, WriteError):
        # the next start checks again
        pass


def _path() -> str:
    folder = os.environ.get('XDG_CACHE_HOME') or osp.expanduser('~/.cache')
    return osp.join(folder, 'sparx_mm', 'data_checks.json')


def _read() -> dict[str, list[str]]:
    try:
        with open(_path()) as file:
            verdicts = json.load(file)
    except (OSError, ValueError):
        return {}
    return verdicts if isinstance(verdicts, dict) else {}
