"""Damaged and forged files end in a named error or in the right tensors."""

import pickle
import random
import resource
import struct
import time

import numpy as np
import pytest
import torch
from hostile import payloads, record, rewrite
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from sparx_mm.checkpoint_io import CheckpointError, read_checkpoint

WEIGHTS = {'backbone.a': torch.arange(600.0).view(20, 30), 'head.b': torch.ones(20)}
FORMS = ('zip', 'pickle', 'safetensors')
# pieces of pickles: calls, marks, memos, long texts and the ends of streams
PIECES = [
    b'cos\nsystem\n',
    b'cbuiltins\neval\n',
    b'cbuiltins\ngetattr\n',
    b'cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R',
    b'ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R',
    b'ctorch._utils\n_rebuild_tensor_v2\n',
    b'ccollections\nOrderedDict\n)R',
    b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81',
    b'cnumpy.core.multiarray\n_reconstruct\n',
    b'X\xff\xff\xff\x7fa',
    b'X\x02\x00\x00\x00id\x85R',
    b'R',
    b'b',
    b'\x81',
    b'(',
    b't',
    b'Q',
    b'u',
    b's',
    b'e',
    b'.',
    b'0',
    b'h\x00',
    b'q\x00',
    b'\x8a\xff',
    b'}',
    b']',
    b')',
    b'N',
]


class Fuzz:
    """Changes of one small checkpoint.

    Args:
        folder (Path): Where it is written.
        form (str): One of ``FORMS``.
        seed (int): Of the changes.
    """

    def __init__(self, folder, form, seed):
        self.random = random.Random(f'{form} {seed}')
        self.form = form
        self.path = str(folder / f'file-{form}')
        self.trace = folder / 'trace'
        content = dict(
            state_dict=dict(WEIGHTS),
            meta=dict(epoch=3, classes=('a', 'b')),
            message_hub=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1]), count=np.int64(3)),
            optimizer=dict(state={0: dict(step=torch.tensor(3.0), m=torch.ones(20))}),
        )
        if form == 'safetensors':
            save_file(WEIGHTS, self.path)
        else:
            torch.save(content, self.path, _use_new_zipfile_serialization=form == 'zip')
        with open(self.path, 'rb') as file:
            self.whole = file.read()
        hostile = [pickle.dumps(p, 2)[2:-1] for p in payloads(self.trace).values()]
        self.pieces = PIECES + hostile

    def write(self, content):
        with open(self.path, 'wb') as file:
            file.write(content)

    def truncate(self):
        self.write(self.whole[: self.random.randrange(len(self.whole))])

    def flip(self):
        content = bytearray(self.whole)
        for _ in range(self.random.choice([1, 1, 2, 8])):
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        self.write(content)

    def splice(self):
        """Put pieces of pickles into the pickle, or bytes of the file elsewhere into it."""
        is_zip = self.form == 'zip'
        self.write(self.whole)
        content = bytearray(record(self.path, 'data.pkl') if is_zip else self.whole)
        for _ in range(self.random.choice([1, 1, 2, 4])):
            at = self.random.randrange(len(content))
            start = self.random.randrange(len(content))
            piece = content[start : start + self.random.randrange(1, 40)]
            if self.random.random() < 0.7:
                piece = self.random.choice(self.pieces)
            until = at + self.random.choice([0, 0, len(piece), 10])
            content[at:until] = piece
        if is_zip:
            rewrite(self.path, {'data.pkl': bytes(content)})
        else:
            self.write(content)

    def try_one(self, name):
        """Return the outcome of a change."""
        getattr(self, name)()
        try:
            found = read_checkpoint(self.path)['state_dict']
        except CheckpointError as error:
            message = str(error)
            assert self.path in message and '\n' not in message
            return 'refused'
        finally:
            assert not self.trace.exists()
        if all(isinstance(v, torch.Tensor) for v in found.values()) and same(found):
            return 'right'
        # only a zip has checksums, and a forged pickle has its own
        assert self.form != 'zip' or name == 'splice'
        return 'other'


def same(found):
    return found.keys() == WEIGHTS.keys() and all(found[k].equal(v) for k, v in WEIGHTS.items())


def fuzz(tmp_path, number, seed):
    """Try changes of each form; return their outcomes, and hold memory to 200 MiB."""
    files = [Fuzz(tmp_path, form, seed) for form in FORMS]
    outcomes = dict(refused=0, right=0, other=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(number):
        name = ('truncate', 'flip', 'splice')[i // 3 % 3]
        outcomes[files[i % 3].try_one(name)] += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    return outcomes


@pytest.mark.tries('a flipped bit', 'a checkpoint that runs code')
def test_a_few_hundred(tmp_path):
    outcomes = fuzz(tmp_path, 450, seed=0)
    assert outcomes['refused'] > 225 and outcomes['right'] > 0


@pytest.mark.tries('a flipped bit', 'a checkpoint that runs code')
@pytest.mark.faults
def test_ten_thousand(tmp_path):
    start = time.monotonic()
    outcomes = fuzz(tmp_path, 10_000, seed=1)
    print(outcomes, f'{time.monotonic() - start:.0f} s')
    assert sum(outcomes.values()) == 10_000
    assert outcomes['refused'] > 5000
    assert time.monotonic() - start < 300


def test_a_text_of_a_claimed_length(tmp_path):
    """The length is the file's, and no more is read than there is."""
    text = b'X' + struct.pack('<I', 2**31 - 1) + b'a'
    for form in ('zip', 'pickle'):
        file = Fuzz(tmp_path, form, 0)
        if form == 'zip':
            rewrite(file.path, {'data.pkl': b'\x80\x02' + text})
        else:
            file.write(b'\x80\x02' + text)
        with pytest.raises(CheckpointError):
            read_checkpoint(file.path)
