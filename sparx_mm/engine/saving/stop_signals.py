"""Signals that ask a run to save and stop."""

import os
import signal
import threading
from functools import partial

from torch.utils.data import DataLoader

# Ctrl-C; `kill` and schedulers before they end a job; Slurm's --signal=USR1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# that listens, or was the last one to
_last: 'StopSignals | None' = None


class StopSignals:
    """Signals received since `listen`.

    A signal for which the program has a handler of its own is left to it.

    Attributes:
        received (int): Number of the first signal; 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._interrupted = False
        self._replaced = {}

    def listen(self) -> None:
        """Take the signals from now on."""
        global _last
        _last = self
        # Python handles signals in the main thread alone
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.getsignal(number)
            if before in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._handle)
                self._replaced[number] = before

    def leave(self) -> None:
        """Give the signals back."""
        while self._replaced:
            signal.signal(*self._replaced.popitem())

    def _handle(self, number, frame):
        if number == signal.SIGINT and self._interrupted:
            self.leave()
            raise KeyboardInterrupt
        self.received = self.received or number
        if number == signal.SIGINT:
            self._interrupted = True
            # not by print, which may be in the middle of another line
            os.write(2, b'saving after this step; press Ctrl-C again to stop at once\n')


def _pass(number, frame):
    """Let a signal pass."""


def _leave_in_child():
    """Let a child that is forked end when its parent says so, as a pool does by SIGTERM."""
    for number in SIGNALS:
        if isinstance(getattr(signal.getsignal(number), '__self__', None), StopSignals):
            # the others go to the whole group of a terminal or a job, whose run goes on for now
            end = number == signal.SIGTERM
            # no SIG_IGN, which a program that the child becomes would inherit
            signal.signal(number, signal.SIG_DFL if end else _pass)


os.register_at_fork(after_in_child=_leave_in_child)


def received_signal() -> int:
    """Return the number of the signal that the last run of this process received, or 0."""
    return 0 if _last is None else _last.received


def shield_workers(loader: DataLoader) -> None:
    """Let the workers of a loader outlive a signal that goes to a whole process group.

    The run has to finish its step, and torch ends a run whose worker was killed.

    Args:
        loader (DataLoader): A loader whose workers have not been started.
    """
    loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)


def _start_worker(init, worker_id):
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # threads that start later inherit it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, daemon=True).start()
    if init is not None:
        init(worker_id)


def _obey_parent():
    """End this process when its parent says so, which ends its workers by SIGTERM too."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
