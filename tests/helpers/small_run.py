"""A run of mmengine that takes a second: a small backbone and a head."""

import torch
from archs import PICO
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.run.runner import DEFAULT_HOOKS

IMAGES = 4


class Net(BaseModel):
    """Mean features of all stages, and a linear head.

    Args:
        num_classes (int): Outputs of the head. Default: 3.
        **kwargs: For the backbone.
    """

    def __init__(self, num_classes=3, **kwargs):
        super().__init__()
        self.backbone = SparXMamba(PICO, **kwargs)
        self.head = nn.Linear(sum(PICO['embed_dims']), num_classes)

    def forward(self, inputs, mode='tensor'):
        maps = self.backbone(inputs)
        x = self.head(torch.cat([m.mean((2, 3)) for m in maps], 1))
        return dict(loss=x.square().mean()) if mode == 'loss' else x


class Head(BaseModel):
    """A linear head on the mean color, for tests of what is around a model."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, inputs, mode='tensor'):
        x = self.head(inputs.mean((2, 3)))
        return dict(loss=x.square().mean()) if mode == 'loss' else x


class Images(torch.utils.data.Dataset):
    """The same random images each time."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        return dict(inputs=torch.rand(3, 32, 32, generator=generator))


def make_runner(work_dir, epochs=1, model=None, optim=None, hooks=None, **kwargs):
    """Make a runner that trains two iterations an epoch.

    Args:
        work_dir (Path): Its folder.
        epochs (int): Number of epochs. Default: 1.
        model (nn.Module, optional): Model. None for a new `Net`.
        optim (dict, optional): Changes to the optimizer wrapper's config.
        hooks (dict, optional): Hooks that replace our own.
        **kwargs: Arguments of the runner, in place of those here too.
    """
    hooks = dict(
        logger=dict(type='LoggerHook', interval=1), **(DEFAULT_HOOKS if hooks is None else hooks)
    )
    optim_wrapper = dict(
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05),
        paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'head': dict(lr_mult=10.0)}),
    )
    settings = dict(
        model=Net() if model is None else model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Images(),
            batch_size=2,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper={**optim_wrapper, **(optim or {})},
        param_scheduler=dict(type='ExponentialLR', gamma=0.5),
        default_hooks=hooks,
        default_scope='mmengine',
        experiment_name=f'{work_dir}-{epochs}',
        randomness=dict(seed=0),
    )
    return Runner(**{**settings, **kwargs})
