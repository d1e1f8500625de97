"""What a torch file says of itself, checked before torch acts on it.

torch compares no checksums, unpacks whatever a record claims to hold, and lets a
pickle ask for any number of bytes.
"""

import os
import pickle
import pickletools
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO

import torch

from .unpickle import CheckpointError

_BLOCK = 1 << 20
# pickles of a file that torch wrote before 1.6, before the bytes of its tensors
_LEGACY_PICKLES = 5


def check_archive(path: str) -> None:
    """Hold the records of a torch file to its size and to their checksums.

    Args:
        path (str): Path of a file of ``torch.save``.

    Raises:
        CheckpointError: If the records claim more than the file holds, or two of
            them have one name.
        Exception: Anything, if the file is damaged or a pickle in it asks for memory.
    """
    with open(path, 'rb') as file:
        # as torch tells the two kinds apart
        if file.read(4) != b'PK\x03\x04':
            file.seek(0)
            for _ in range(_LEGACY_PICKLES):
                _check_pickle(file)
            return
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            _check_records(records, os.path.getsize(path))
            for record in records:
                # torch writes 0 if it is told to leave the checksums out
                if not record.CRC:
                    del record.CRC
                # torch finds records whatever their case is
                if record.filename.lower().endswith('.pkl'):
                    _check_pickle(archive.read(record))
                    continue
                with archive.open(record) as data:
                    while data.read(_BLOCK):
                        pass


def check_tensors(tensors: Iterable[torch.Tensor], path: str, map_location: Any) -> None:
    """Refuse tensors that claim more numbers than their file holds.

    A stride of 0 makes a tensor of any size of one number, and a tensor on the
    device ``meta`` has none.

    Args:
        tensors (Iterable[Tensor]): Tensors of a file.
        path (str): Path of the file.
        map_location (Any): Device that they were read to.

    Raises:
        CheckpointError: If one does.
    """
    size = os.path.getsize(path)
    for tensor in tensors:
        if tensor.layout != torch.strided:
            continue
        claimed = tensor.numel() * tensor.element_size()
        if claimed > size:
            raise CheckpointError(
                f'a tensor of shape {tuple(tensor.shape)} claims {claimed} bytes '
                f'and the file has {size}'
            )
        if tensor.is_meta and str(map_location) != 'meta':
            raise CheckpointError('it has a tensor without numbers (on the device meta)')


def _check_records(records: list[zipfile.ZipInfo], size: int) -> None:
    if len({record.filename.lower() for record in records}) < len(records):
        raise CheckpointError('it has two records of one name')
    # Python skips what is before an archive, and torch does not
    if min((record.header_offset for record in records), default=0):
        raise CheckpointError('it has something before its first record')
    claimed = sum(record.file_size for record in records)
    if claimed > size:
        raise CheckpointError(
            f'its records claim {claimed} bytes and the file has {size}: they are '
            'compressed, which torch.save does not do, or overlap; save it again with '
            'torch.save'
        )


def _check_pickle(source: bytes | BinaryIO) -> None:
    """Refuse the one name allowed by torch that allocates what a number asks for."""
    for operation, argument, _ in pickletools.genops(source):
        if operation.name == 'GLOBAL' and argument.endswith(' bytearray'):
            raise pickle.UnpicklingError('GLOBAL builtins.bytearray')
