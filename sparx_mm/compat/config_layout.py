"""mmengine lays out a config anew each time that its text is read.

`mmengine.config.Config.pretty_text` has yapf do it, which takes a second of a
detector's config: for the log, for the dump in the work folder, for the message
hub, and again for every checkpoint. `install` has yapf remember the last text.
`sparx_mm.engine` calls it.

Example:
    >>> from sparx_mm.compat import config_layout
    >>> config_layout.install()
"""

import functools

from yapf.yapflib import yapf_api


@functools.cache
def install() -> None:
    """Let yapf lay out the same text once, in this process."""
    format_code = yapf_api.FormatCode
    last = {}

    @functools.wraps(format_code)
    def remember(*args, **options):
        key = repr((args, options))
        if key not in last:
            result = format_code(*args, **options)
            last.clear()
            last[key] = result
        return last[key]

    yapf_api.FormatCode = remember
