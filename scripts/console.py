"""What the set-up says, runs and waits for."""

import fcntl
import subprocess
import sys


def say(message):
    print('setup:', message, flush=True)


def fail(message):
    sys.exit(f'setup: error: {message}')


def output(*command):
    """What a program prints; nothing if it is not there or fails."""
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
        file (IO): The file.
        what (str): What the lock is for, said if it is another's.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f'waiting for another set-up that makes {what}')
        fcntl.flock(file, fcntl.LOCK_EX)
