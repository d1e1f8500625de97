"""A small PlainMamba that names the shapes of drawn images, patch by patch."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from report import progress
from torch import nn

from sparx_mm import PlainMamba
from sparx_mm.demo import CLASSES, draw_sample

ARCH = dict(base='l1', embed_dims=64, num_layers=8, stem=dict(num_convs=0, width=32, grid=8))
SIZE = 128
PATCH = 16
BATCH = 16


class PatchNamer(nn.Module):
    """Class of each patch, and which classes are in the image.

    Args:
        arch (dict): Arch of the backbone. Default: ``ARCH``.
        pruning (dict, optional): The backbone's. Default: None.
    """

    def __init__(self, arch=ARCH, pruning=None):
        super().__init__()
        self.backbone = PlainMamba(arch, out_indices=-1, pruning=pruning)
        dim = self.backbone.num_features
        # the first class of a patch is the background
        self.patches = nn.Conv2d(dim, 1 + len(CLASSES), 1)
        self.image = nn.Linear(dim, len(CLASSES))

    def forward(self, x):
        """Map images to logits of patches, (B, 7, H/16, W/16), and of images, (B, 6)."""
        (x,) = self.backbone(x)
        return self.patches(x), self.image(x.mean((2, 3)))


def draw(count, seed, size=SIZE):
    """Draw images and name their patches by the class that most of their pixels have.

    Args:
        count (int): Number of images.
        seed (int): Seed of the set.
        size (int): Side of an image. Default: 128.

    Returns:
        tuple[Tensor, Tensor]: Images, (N, 3, size, size), uint8, and classes of patches,
        (N, size/16, size/16), int64.
    """
    images, labels = [], []
    for i in range(count):
        sample = draw_sample(np.random.default_rng((seed, i)), size)
        images.append(torch.from_numpy(sample.image).permute(2, 0, 1))
        one_hot = np.eye(1 + len(CLASSES), dtype=np.float32)[sample.label_map]
        # (H, W, 7) -> (7, H/16, W/16)
        shares = F.avg_pool2d(torch.from_numpy(one_hot).permute(2, 0, 1), PATCH)
        labels.append(shares.argmax(0))
    return torch.stack(images), torch.stack(labels)


def prepare(images):
    """Bring pixels near to -2 to 2."""
    return (images.float() - 128) / 64


def presence(labels):
    """Say which classes have a patch: (N, H/16, W/16) -> (N, 6), 0 or 1."""
    return F.one_hot(labels.flatten(1), 1 + len(CLASSES)).amax(1)[:, 1:].float()


def train(model, images, labels, steps, seed=0):
    """Train a model, with a line of progress at each twentieth of the steps.

    Args:
        model (PatchNamer): The model; it is left in eval mode.
        images (Tensor): From `draw`.
        labels (Tensor): From `draw`.
        steps (int): Steps of ``BATCH`` images, flipped and turned at random.
        seed (int): Seed of the order. Default: 0.
    """
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    model.train()
    start, losses = time.process_time(), []
    for step in range(steps):
        chosen = torch.from_numpy(rng.integers(len(images), size=BATCH))
        x, y = images[chosen], labels[chosen]
        for axis in (1, 2):
            if rng.integers(2):
                x, y = x.flip(axis + 1), y.flip(axis)
        if rng.integers(2):
            x, y = x.transpose(2, 3), y.transpose(1, 2)
        patches, image = model(prepare(x))
        loss = F.cross_entropy(patches, y)
        loss = loss + F.binary_cross_entropy_with_logits(image, presence(y))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % max(steps // 20, 1) == 0:
            recent = sum(losses[-steps // 20 :]) / len(losses[-steps // 20 :])
            seconds = time.process_time() - start
            progress(f'step {step + 1} of {steps}: loss {recent:.3f}, {seconds:.0f} s of CPU')
    model.eval()


@torch.no_grad()
def score(model, images, labels):
    """Judge a model.

    Args:
        model (PatchNamer): The model, in eval mode.
        images (Tensor): From `draw`.
        labels (Tensor): From `draw`.

    Returns:
        tuple[float, float]: Mean IoU of the patches' classes, and the mean over images and
        classes of whether a class is rightly said to be there, both in percent.
    """
    matrix = torch.zeros((1 + len(CLASSES),) * 2)
    right = 0.0
    for x, y in zip(images.split(BATCH), labels.split(BATCH)):
        patches, image = model(prepare(x))
        pairs = (y * len(matrix) + patches.argmax(1)).flatten()
        matrix += torch.bincount(pairs, minlength=matrix.numel()).view_as(matrix)
        right += ((image > 0) == presence(y).bool()).float().mean(1).sum().item()
    both = matrix.diagonal()
    iou = both / (matrix.sum(0) + matrix.sum(1) - both).clamp_min(1)
    return 100 * iou.mean().item(), 100 * right / len(images)
