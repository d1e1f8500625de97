"""Messages, commands and locks of the set-up."""

import fcntl
import subprocess
import sys


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
