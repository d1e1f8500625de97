"""The progress line in a terminal, and what stays in the log file."""

import logging
import os
import pty
import re
import sys
import threading
from contextlib import suppress
from io import StringIO

import pytest
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from small_run import Head, Images, make_runner
from torch.utils.data import DataLoader

from sparx_mm.run.progress import progress_line


class _Terminal:
    """A terminal as stdout, within a ``with``; then ``shown`` is the text it was sent."""

    def __enter__(self):
        self.master, slave = pty.openpty()
        self.chunks, self.before = [], sys.stdout
        sys.stdout = os.fdopen(slave, 'w')
        # without it the terminal would be full after 4 KB
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        return self

    def _read(self):
        # an error is the end
        with suppress(OSError):
            while True:
                self.chunks.append(os.read(self.master, 4096))

    def __exit__(self, *error):
        stream, sys.stdout = sys.stdout, self.before
        # pytest's stdout is a file, which the next messages may go to
        for handler in MMLogger.get_current_instance().handlers:
            if getattr(handler, 'stream', None) is stream:
                handler.setStream(self.before)
        stream.close()
        self.reader.join()
        os.close(self.master)
        text = b''.join(self.chunks).decode()
        self.shown = re.sub(r'\x1b\[[\d;?]*[a-zA-Z]', '', text)


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """Make terminals as wide as a screen."""
    monkeypatch.setenv('COLUMNS', '120')
    monkeypatch.setenv('TERM', 'xterm')


def _runner(folder, **options):
    return make_runner(folder / 'run', model=Head(), hooks={}, **options)


def _handler(runner):
    (handler,) = [h for h in runner.logger.handlers if type(h) is logging.StreamHandler]
    return handler


def test_a_terminal_has_one_line_and_the_log_file_all(tmp_path):
    val = dict(
        val_dataloader=DataLoader(Images()),
        val_evaluator=Evaluator([]),
        val_cfg=dict(),
    )
    with _Terminal() as terminal:
        runner = _runner(tmp_path, epochs=2, **val)
        hooks = len(runner.hooks)
        with progress_line(runner):
            runner.train()
            runner.logger.info('something else')
        assert len(runner.hooks) == hooks
        assert _handler(runner).stream is sys.stdout
    facts = r'loss \d+\.\d{4}  lr \d\.\d\de-\d\d  eta \d:\d\d:\d\d  (RAM|GPU) \d+\.\d GiB'
    for epoch in (1, 2):
        assert re.search(rf'epoch {epoch}/2 \S+ +2/2 {facts}', terminal.shown)
    assert re.search(r'evaluation \S+ +4/4 eta', terminal.shown)
    assert 'Epoch(train)' not in terminal.shown and 'something else' in terminal.shown
    (log,) = (tmp_path / 'run').rglob('*.log')
    assert log.read_text().count('Epoch(train)') == 4


def test_iterations_are_counted_where_epochs_are_not(tmp_path):
    cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    with _Terminal() as terminal:
        runner = _runner(tmp_path, train_cfg=cfg, log_processor=dict(by_epoch=False))
        with progress_line(runner):
            runner.train()
    assert re.search(r'iteration \S+ +2/2 loss', terminal.shown)


def test_the_terminal_is_as_before_after_an_error(tmp_path):
    with _Terminal():
        out = sys.stdout
        handler = _handler(runner := _runner(tmp_path))
        filters = list(handler.filters)
        with pytest.raises(ZeroDivisionError), progress_line(runner):
            assert sys.stdout is not out and handler.filters != filters
            raise ZeroDivisionError
        assert (handler.stream, handler.filters, sys.stdout) == (out, filters, out)


def test_nothing_changes_where_the_output_is_a_file(tmp_path):
    before, sys.stdout = sys.stdout, StringIO()
    try:
        runner = _runner(tmp_path)
        handler, out = _handler(runner), sys.stdout
        facts = len(runner.hooks), list(handler.filters), handler.stream
        with progress_line(runner):
            assert facts == (len(runner.hooks), handler.filters, handler.stream)
            assert sys.stdout is out
    finally:
        sys.stdout = before
