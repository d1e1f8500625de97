"""torchrun that leaves the last word to the processes it starts.

``python -m sparx_mm.run.torchrun`` takes what ``torchrun`` takes. That one
puts a traceback of its own and a table below what the failed process said,
which is where a user looks.
"""

import logging
import sys
from signal import Signals

from torch.distributed import DistError, run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main(args: list[str] | None = None) -> int:
    """Start processes and wait for them.

    Args:
        args (list[str], optional): As on the command line of ``torchrun``.
            None: those of this one. Default: None.

    Returns:
        int: The exit status: that of the process which failed first, or 128
        and the number of the signal that ended it or this one.
    """
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    try:
        run.main(args)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        # one that was killed has said nothing
        signal = Signals(-failure.exitcode)
        print(f'error: process {rank} was ended by {signal.name}', file=sys.stderr)
        return 128 + signal
    except SignalException as error:
        return 128 + error.sigval
    except DistError as error:
        reason = str(error).splitlines()[0]
        print(
            f'error: the processes do not find each other ({reason}): is the '
            'port in use, or another machine missing? PORT and MASTER_ADDR '
            'choose the place',
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
