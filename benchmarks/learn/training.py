"""Train a network, with its curve over iterations and over the CPU time of one thread."""

import contextlib
import math
import time
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from sparx_mm.checkpoint_io import save_checkpoint

from .comparisons import INITS, Condition
from .data import Batches
from .detection import Detector
from .heads import Classifier, Segmentor
from .networks import build

SCHEDULE = Path(__file__).parents[2] / 'configs/_base_/schedules/adamw.py'
# by the kind of the data
HEADS = dict(classes=Classifier, pixels=Segmentor, boxes=Detector)
# of the gradients
MAX_NORM = 5.0
# of a curve, after the one before training
MEASUREMENTS = 8


class Recipe(NamedTuple):
    """How to train.

    Args:
        rate (float): Greatest learning rate.
        iterations (int): Number of them.
        seed (int): Seed of the weights and of the batches.
        init (str): Key of ``INITS``. Default: ``'own'``.
        condition (Condition): What else. Default: the base.
        start (Path, optional): File of a backbone to start from. Default: none.
    """

    rate: float
    iterations: int
    seed: int
    init: str = 'own'
    condition: Condition = Condition()
    start: Path | None = None


class Model(nn.Module):
    """Backbone with the head of a task, which is the same for all of them.

    Args:
        backbone (Module): Network that maps images to a list of maps.
        data (Data): Data set of the task.
    """

    def __init__(self, backbone, data):
        super().__init__()
        # not chained, because mmpretrain's method returns None
        backbone.eval()
        with torch.no_grad():
            maps = backbone(torch.zeros(1, 3, data.side, data.side))
        self.backbone, self.head = backbone, HEADS[data.kind](maps, data)
        pixels = data.train.images[:1000].float()
        self.register_buffer('mean', pixels.mean((0, 2, 3)).view(-1, 1, 1))
        self.register_buffer('std', pixels.std((0, 2, 3)).view(-1, 1, 1))

    def forward(self, images):
        """Return what the head makes of images, to be handed to its loss or its prediction.

        Args:
            images (Tensor): Images (B, 3, H, W), uint8.
        """
        maps = list(self.backbone((images - self.mean) / self.std))
        return self.head(maps, images.shape[2:])


def make_model(config, data, recipe):
    """Build a network with the initial weights of a recipe.

    Args:
        config (dict): Config of the backbone.
        data (Data): Data set of the task.
        recipe (Recipe): How to train.

    Returns:
        Model: The network in training mode.
    """
    torch.manual_seed(recipe.seed)
    options, init_cfg = dict(config, **recipe.condition.backbone or {}), INITS[recipe.init]
    if recipe.start:
        init_cfg = dict(type='Pretrained', checkpoint=str(recipe.start))
    if init_cfg:
        options['init_cfg'] = init_cfg
    backbone = build(options)
    backbone.init_weights()
    return Model(backbone, data).train()


def make_optimizer(model, recipe):
    """Build the optimizer of the shipped schedules.

    Args:
        model (Model): The network.
        recipe (Recipe): How to train.

    Returns:
        AdamW: Its groups have their own rates as ``initial_lr``.
    """
    cfg = Config.fromfile(SCHEDULE).optim_wrapper
    cfg.optimizer.lr = recipe.rate
    options = {k: v for k, v in cfg.optimizer.items() if k not in ('type', 'lr', 'weight_decay')}
    if recipe.condition.weight_decay is not None:
        cfg.optimizer.weight_decay = recipe.condition.weight_decay
    cfg.paramwise_cfg.update(flat_decay_mult=0.0, layer_decay_rate=recipe.condition.layer_decay)
    groups = {}
    for group in build_optim_wrapper(model, cfg).optimizer.param_groups:
        parameters = groups.setdefault((group['lr'], group['weight_decay']), [])
        parameters += [p for p in group['params'] if p.requires_grad]
    # it has a group for each parameter, which are slow one by one
    merged = [
        dict(params=parameters, lr=rate, initial_lr=rate, weight_decay=decay)
        for (rate, decay), parameters in groups.items()
        if parameters
    ]
    return torch.optim.AdamW(merged, **options, fused=True)


def rate_at(progress, warm_up):
    """Return the part of the learning rate: a linear warm-up, and a cosine to 0.

    Args:
        progress (float): Part of the iterations that are done.
        warm_up (float): Part of them in which it rises.
    """
    if progress < warm_up:
        return progress / warm_up
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


class Trainer:
    """A network, its optimizer and its batches.

    Args:
        config (dict): Config of the backbone.
        data (Data): Data set of the task.
        recipe (Recipe): How to train.
    """

    def __init__(self, config, data, recipe):
        self.model, self.recipe = make_model(config, data, recipe), recipe
        self.batches = Batches(data, recipe.condition.batch, recipe.seed)
        self.optimizer = make_optimizer(self.model, recipe)

    def _autocast(self):
        if self.recipe.condition.bfloat16:
            return torch.autocast('cpu', torch.bfloat16)
        return contextlib.nullcontext()

    def step(self, iteration):
        """Take a step of the optimizer.

        Args:
            iteration (int): Its number, from 0.

        Returns:
            float: The loss.
        """
        images, labels = next(self.batches)
        # not 0 in the first one
        progress = (iteration + 0.5) / self.recipe.iterations
        for group in self.optimizer.param_groups:
            group['lr'] = group['initial_lr'] * rate_at(progress, self.recipe.condition.warm_up)
        with self._autocast():
            outputs = self.model(images)
        loss = self.model.head.loss(outputs, labels)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def measure(self, part):
        """Measure the network.

        Args:
            part (Part): Images.

        Returns:
            float: The metric of the task.
        """
        self.model.eval()
        predicted = []
        for some in part.split(50):
            with self._autocast():
                outputs = self.model(some.images)
            predicted += self.model.head.predict(outputs)
        self.model.train()
        return self.model.head.metric(predicted, part.labels)


def train(config, data, recipe, keep=None, measurements=None):
    """Train a network from its initial weights.

    Args:
        config (dict): Config of the backbone.
        data (Data): Data set of the task.
        recipe (Recipe): How to train.
        keep (Path, optional): File to write the trained backbone to. Default: none.
        measurements (int, optional): Measurements after the one before training.
            Default: ``MEASUREMENTS``.

    Returns:
        dict: ``curve``, rows of iterations, CPU seconds of training alone, mean loss since
        the row before (None before training) and the metric; and ``finite``, False if the
        loss became infinite or NaN, which ends the training.
    """
    # what is compiled at the first call is not training
    Trainer(config, data, recipe).step(0)
    trainer, seconds, losses = Trainer(config, data, recipe), 0.0, []
    curve = [[0, 0.0, None, round(trainer.measure(data.test), 5)]]
    measurements = measurements or MEASUREMENTS
    marks = {round(recipe.iterations * (i + 1) / measurements) for i in range(measurements)}
    for done in range(1, recipe.iterations + 1):
        start = time.process_time()
        losses.append(trainer.step(done - 1))
        seconds += time.process_time() - start
        if not math.isfinite(losses[-1]):
            return dict(curve=curve, finite=False)
        if done in marks:
            row = seconds, sum(losses) / len(losses), trainer.measure(data.test)
            curve.append([done, *(round(value, 5) for value in row)])
            losses = []
    if keep:
        save_checkpoint(trainer.model.backbone.state_dict(), str(keep))
    return dict(curve=curve, finite=True)


def seconds_per_iteration(configs, data, repeats=20):
    """Return the least CPU time of a training step of networks, measured in turns.

    Args:
        configs (list[dict]): Configs of the backbones.
        data (Data): Data set of the task.
        repeats (int): Number of timed steps of each. Default: 20.

    Returns:
        list[float]: Seconds.
    """
    trainers = [Trainer(config, data, Recipe(1e-3, 100, 0)) for config in configs]
    times = [[] for _ in trainers]
    for i in range(repeats + 1):
        for trainer, own in zip(trainers, times):
            start = time.process_time()
            trainer.step(i)
            own.append(time.process_time() - start)
    return [min(own[1:]) for own in times]
