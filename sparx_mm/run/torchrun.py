"""torchrun without a report of its own below the error of a process.

``python -m sparx_mm.run.torchrun`` takes the arguments of ``torchrun``, which
prints a traceback and a table below the message of the failed process, where a
user looks first.
"""

import logging
import os
import sys
from signal import Signals

from torch.distributed import DistError, run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main(args: list[str] | None = None) -> int:
    """Start processes and wait for them.

    Args:
        args (list[str], optional): Arguments of ``torchrun``. None for those
            of the command line. Default: None.

    Returns:
        int: Exit status of the process that failed first, or 128 plus the
        number of the signal that ended it or this process.
    """
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    # a run saves on SIGUSR1 too, which Slurm sends ahead of a time limit
    os.environ.setdefault('PET_SIGNALS_TO_HANDLE', 'SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1')
    try:
        run.main(args)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        # a process that was killed has printed nothing
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
