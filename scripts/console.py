"""Messages, progress, commands and locks of the set-up."""

import fcntl
import subprocess
import sys
import time


def say(message):
    """Print a message of the set-up."""
    print('setup:', message, flush=True)


def fail(message):
    """End the set-up with an error message."""
    sys.exit(f'setup: error: {message}')


def output(*command):
    """Run a program and return what it prints; '' if it is absent or fails."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True
        )
    except OSError:
        return ''
    return '' if done.returncode else done.stdout


def clock(seconds):
    """Format a duration as minutes and seconds, ``'7:05'``."""
    return '{}:{:02}'.format(*divmod(int(seconds), 60))


class Steps:
    """Number the steps of a set-up as they begin, and print their times at the end.

    Args:
        total (int): Number of steps.
    """

    def __init__(self, total):
        self.total = total
        self.begun = []

    def begin(self, name):
        """End the step before and begin one.

        Args:
            name (str): What the step makes.
        """
        self.begun.append((name, time.monotonic()))
        say(f'step {len(self.begun)} of {self.total}: {name}')

    def report(self):
        """Print the time of each step and of all."""
        ends = [start for _, start in self.begun[1:]] + [time.monotonic()]
        for number, ((name, start), end) in enumerate(zip(self.begun, ends), 1):
            say(f'{number}. {clock(end - start):>6}  {name}')
        say(f'done in {clock(ends[-1] - self.begun[0][1])}')


class Progress:
    """Show how far a long step is: a line rewritten in a terminal, now and then one in a log.

    Args:
        name (str): Name of the step.
    """

    def __init__(self, name):
        self.name = name
        self.in_terminal = sys.stdout.isatty()
        # seconds from one line to the next
        self.interval = 1 if self.in_terminal else 30
        self.start = time.monotonic()
        # files that were done when the last of them was, and when that was
        self.last = (0, self.start)

    def show(self, done, total):
        """Print the part that is done and the time that is left at the rate so far.

        Args:
            done (int): Files that are done.
            total (int): All files; 0 if that is not known yet.
        """
        now = time.monotonic()
        if done != self.last[0]:
            self.last = (done, now)
        line = f'{self.name}: {clock(now - self.start)} so far'
        if done:
            then = self.last[1]
            # between two files the time that is left goes down
            left = (then - self.start) * (total - done) / done - (now - then)
            line += f', {done} of {total} files ({100 * done // total} %), '
            line += f'about {max(1, round(left / 60))} min left' if done < total else 'linking them'
        if self.in_terminal:
            print(f'\rsetup: {line:<72}', end='', flush=True)
        else:
            say(line)

    def close(self):
        """Leave the line of a terminal."""
        if self.in_terminal:
            print(flush=True)


def wait_for_lock(file, what):
    """Lock an open file until it is closed, or its process ends.

    Args:
        file (IO): The file to lock.
        what (str): The thing that the lock is for, printed while another
            process holds the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f'waiting for another set-up that makes {what}')
        fcntl.flock(file, fcntl.LOCK_EX)
