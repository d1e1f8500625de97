"""A run of `noisy_run` as a program: python noisy_program.py FOLDER LENGTH OPTIONS [FAULT]."""

import json
import os
import sys

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from noisy_run import make_noisy

from sparx_mm.engine.saving.last_checkpoint import disk_errors
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run.distributed import align_gradients, init_distributed, lost_processes


class Fault(Hook):
    """Send this process a signal, or raise an error, at a moment of its run.

    Args:
        place (str): ``'data'``, ``'forward'``, ``'backward'``, ``'step'``, ``'write'``,
            ``'pointer'``, ``'remove'``, ``'evaluation'`` or ``'after'`` (an iteration).
        iteration (int): First iteration, from 0, in which it happens.
        number (int): Number of the signal. Default: 9.
        rank (int): Process that it happens to. Default: 0.
        error (str, optional): ``'mistake'`` of the user or ``'bug'``, in place of the signal.
    """

    def __init__(self, place, iteration, number=9, rank=0, error=None):
        self.place, self.iteration, self.number, self.rank = place, iteration, number, rank
        self.error = error and dict(mistake=UserError, bug=ValueError)[error]('only here')

    def before_train(self, runner):
        if get_rank() != self.rank:
            return

        def strike(*_):
            if runner.iter >= self.iteration and self.number:
                number, self.number = self.number, 0
                if self.error:
                    raise self.error
                os.kill(os.getpid(), number)

        def before(owner, name, condition=lambda *_: True):
            call = getattr(owner, name)

            def wrapper(*args, **kwargs):
                if condition(*args):
                    strike()
                return call(*args, **kwargs)

            setattr(owner, name, wrapper)

        if self.place == 'data':
            # a class of its own, because that of a validation is the same
            data = runner.train_dataloader.dataset
            data.__class__ = type('Broken', (type(data),), dict(__getitem__=strike))
        elif self.place == 'forward':
            next(m for m in runner.model.modules() if not list(m.children())).register_forward_hook(
                strike
            )
        elif self.place == 'backward':
            list(runner.model.parameters())[0].register_hook(strike)
        elif self.place == 'step':
            runner.optim_wrapper.optimizer.register_step_pre_hook(strike)
        elif self.place == 'write':
            # all is written, nothing is on the disk
            before(os, 'fsync')
        elif self.place == 'pointer':
            before(os, 'replace', lambda _, target: target.endswith('last_checkpoint'))
        elif self.place == 'remove':
            before(os, 'remove')
        elif self.place == 'evaluation':
            before(runner.val_loop.evaluator, 'process')
        self.strike = strike

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.place == 'after' and get_rank() == self.rank:
            self.strike()


@user_errors()
def main():
    folder, length, options, *fault = sys.argv[1:]
    options = json.loads(options)
    torch.set_num_threads(1)
    if 'RANK' in os.environ:
        cfg = Config(dict(launcher='pytorch', model=dict()))
        init_distributed(cfg)
        options.update(
            launcher='pytorch', cfg=Config(dict(model_wrapper_cfg=cfg.model_wrapper_cfg))
        )
    runner = make_noisy(folder, int(length), **options)
    align_gradients(runner.model)
    if fault:
        runner.register_hook(Fault(**json.loads(fault[0])))
    with disk_errors(folder), lost_processes():
        runner.train()


if __name__ == '__main__':
    main()
