"""What a user gets wrong ends in one line; what we get wrong keeps its trace.
"""
import sys
from contextlib import contextmanager
from typing import Iterator


class UserError(Exception):
    """Something that the user can put right; the message says how.

    Its message is one line: what was given, what is wrong, what to do.
    """


@contextmanager
def user_errors() -> Iterator[None]:
    """End a command line in one line on stderr instead of a traceback.

    `UserError` exits with status 1, an interrupt with 130 (128 + SIGINT, as
    a shell reports it). Every other exception passes through.

    Example:
        >>> @user_errors()
        ... def main():
        ...     raise UserError('no such file: a.py')
        >>> main()
        Traceback (most recent call last):
        SystemExit: 1
    """
    try:
        yield
    except UserError as error:
        print('error:', ' '.join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('error: interrupted', file=sys.stderr)
        sys.exit(130)
