"""Small runs that meet NaN or infinity."""

import math
import os
import tempfile
from pathlib import Path

from mmengine.dist import get_rank
from small_run import IMAGES, Images, Net, make_runner
from torch import nn

from sparx_mm.errors import UserError
from sparx_mm.run.runner import DEFAULT_HOOKS

NAN = math.nan


class Files(Images):
    """Images with paths; the pixels of some are another value.

    Args:
        pixels (dict, optional): A pixel's value by index of the image.
        number (int): Number of images. Default: 4.
    """

    def __init__(self, pixels=None, number=IMAGES):
        self.pixels, self.number = pixels or {}, number

    def __len__(self):
        return self.number

    def __getitem__(self, i):
        image = super().__getitem__(i)['inputs']
        image[0, 5, 5] = self.pixels.get(i, 0)
        return dict(inputs=image, img_path=f'{i}.png')


class BadLoss(Net):
    """A second term of the loss, of which a batch makes NaN.

    Args:
        at (int): Number of the forward pass, from 1.
        factor (float): What the loss is multiplied by there. Default: NaN.
        spoil (bool): Spoil a batch norm's statistics too. Default: False.
        constant (bool): Keep the term out of the gradients. Default: False.
    """

    def __init__(self, at, factor=NAN, spoil=False, constant=False):
        super().__init__()
        self.at, self.factor, self.spoil, self.passes = at, factor, spoil, 0
        self.constant = constant
        self.norm = nn.BatchNorm2d(3)

    def forward(self, inputs, mode='tensor', **kwargs):
        self.passes += self.training
        bad = self.training and self.passes == self.at
        self.norm(inputs * NAN if bad and self.spoil else inputs)
        losses = super().forward(inputs, mode)
        if mode != 'loss':
            return losses
        loss = losses['loss']
        term = loss.detach() if self.constant else loss
        return dict(loss_a=loss, loss_b=term * self.factor if bad else term, acc=loss * NAN)


def run(tmp_path, model=None, data=None, skip_limit=0, **kwargs):
    """Make a runner of two iterations an epoch whose net takes images with paths.

    Args:
        tmp_path (Path): The folder around its own.
        model (nn.Module, optional): None for a `BadLoss` that never is. Default: None.
        data (Dataset, optional): None for `Files`. Default: None.
        skip_limit (int): Of the guard. Default: 0.
        **kwargs: For `make_runner`.
    """
    model = model or BadLoss(at=0)
    runner = make_runner(
        Path(tmp_path) / 'run',
        model=model,
        hooks={
            **DEFAULT_HOOKS,
            'finite': dict(type='FiniteHook', skip_limit=skip_limit),
            'checkpoint': dict(type='CheckpointHook', interval=1),
        },
        **kwargs,
    )
    runner._train_dataloader['dataset'] = data or Files()
    return runner


def two_ranks() -> list[tuple[str, int]]:
    """Train in each process of a group, the second of which meets NaN in its second batch.

    Returns:
        list[tuple[str, int]]: The error, or ``''``, and the number of steps, when no step
        may be left out and when one may.
    """
    os.environ['LOCAL_RANK'] = '0'
    return [_train_on_a_rank(skip_limit) for skip_limit in (0, 1)]


def _train_on_a_rank(skip_limit):
    runner = run(
        tempfile.mkdtemp(),
        BadLoss(2 if get_rank() else 0, constant=True),
        Files(number=8),
        skip_limit,
        launcher='pytorch',
        cfg=dict(
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel',
                device_ids=None,
                broadcast_buffers=False,
                find_unused_parameters=True,
            )
        ),
    )
    message = ''
    try:
        runner.train()
    except UserError as error:
        message = str(error)
    return message, runner.optim_wrapper.optimizer.state_dict()['state'][0]['step'].item()
