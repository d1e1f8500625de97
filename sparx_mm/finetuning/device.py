"""The device of a run, which mmengine chooses by itself."""

import torch
from mmengine.device import utils

from ..errors import UserError


def use_device(name: str | None) -> str:
    """Make mmengine run on a device.

    Args:
        name (str, optional): ``'cpu'``, ``'cuda'`` or ``'cuda:N'``. None: the GPU if there
            is one.

    Returns:
        str: Description of the device.

    Raises:
        UserError: If there is no such device.
    """
    if name is not None:
        kind, _, number = name.partition(':')
        if kind not in ('cpu', 'cuda') or (number and not (kind == 'cuda' and number.isdecimal())):
            raise UserError(f'--device must be cpu, cuda or cuda:N, got {name}')
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if kind == 'cuda' and int(number or 0) >= count:
            raise UserError(
                f'--device {name}: torch finds {count} GPUs here: take cpu, or leave it out'
            )
        if kind == 'cuda':
            torch.cuda.set_device(int(number or 0))
        # there is no other way to choose one: the variable is what all of mmengine asks
        utils.DEVICE = kind
    if utils.get_device() == 'cpu':
        return f'cpu, {torch.get_num_threads()} threads'
    return f'{utils.get_device()}, {torch.cuda.get_device_name()}'
