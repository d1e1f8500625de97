"""A run in which everything draws random numbers: data, model and validation."""

import random

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from small_run import Net, make_runner

from sparx_mm.run.runner import DEFAULT_HOOKS

IMAGES, BATCH = 8, 2


class Noisy(torch.utils.data.Dataset):
    """Images with noise of every generator, as augmentations draw it."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, i):
        noise = random.random() + np.random.rand() + torch.rand(3, 32, 32)
        return dict(inputs=noise + i / IMAGES)


class Dropping(Net):
    """A `Net` with dropout and drop path."""

    def __init__(self):
        super().__init__(drop_path_rate=0.5)

    def forward(self, inputs, mode='tensor'):
        return super().forward(torch.nn.functional.dropout(inputs, 0.2, self.training), mode)


class Drawn(BaseMetric):
    """A metric that draws its value from every generator."""

    def process(self, data_batch, data_samples):
        self.results.append(random.random())

    def compute_metrics(self, results):
        return dict(acc=sum(results) + np.random.rand() + torch.rand(1).item())


def make_noisy(folder, length, by_epoch=True, **kwargs):
    """Make a run of four iterations an epoch with EMA and bfloat16.

    Args:
        folder (Path): Its folder.
        length (int): Number of epochs, or of iterations.
        by_epoch (bool): Kind of the loop. Default: True.
        **kwargs: Changes to its settings: ``workers``, ``batch_size``, ``seed``,
            ``validate`` (bool), ``checkpoint`` (options of the hook), ``optim``, and
            arguments of the runner.
    """
    workers, batch_size = kwargs.pop('workers', 0), kwargs.pop('batch_size', BATCH)
    checkpoint = dict(type='SafeCheckpointHook', interval=1, by_epoch=by_epoch)
    checkpoint.update(kwargs.pop('checkpoint', {}))
    collate = dict(type='default_collate')
    if kwargs.pop('validate', False):
        checkpoint['save_best'] = 'acc'
        kwargs.update(
            val_dataloader=dict(
                dataset=Noisy(),
                batch_size=4,
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=collate,
            ),
            val_evaluator=Evaluator(Drawn()),
            val_cfg=dict(),
        )
    # the weights that a run begins with
    torch.manual_seed(0)
    settings = dict(
        model=Dropping(),
        optim=dict(type='BFloat16OptimWrapper', clip_grad=dict(max_norm=1.0)),
        hooks=dict(DEFAULT_HOOKS, checkpoint=checkpoint),
        custom_hooks=[dict(type='EMAHook', momentum=0.1)],
        train_dataloader=dict(
            dataset=Noisy(),
            batch_size=batch_size,
            num_workers=workers,
            collate_fn=collate,
            sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=length)
        if by_epoch
        else dict(by_epoch=False, max_iters=length, val_interval=2),
        randomness=dict(seed=kwargs.pop('seed', 0)),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, end=9, by_epoch=False),
    )
    return make_runner(folder, **{**settings, **kwargs})
