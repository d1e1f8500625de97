"""Classifiers of mmpretrain that learn from a teacher, by a linear layer of its own.

DeiT's hard distillation (https://arxiv.org/abs/2012.12877), on pooled channels
instead of a token. Importing this module imports mmpretrain, in which it registers
its classes; a config names it in ``custom_imports``.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import nn

from sparx_mm.kernels import without_autocast

from .backbones.pretrained import check_init_cfg, dotted, initializer_name
from .checkpoint_io import load_checkpoint
from .compat import torchvision_stub
from .errors import ConfigError
from .state_dicts import CoverageError, find_weights, strip_prefix, summarize
from .state_dicts.keymap import is_bn_counter

# before mmpretrain imports it
torchvision_stub.install()

from mmpretrain.models import ImageClassifier, LinearClsHead  # noqa: E402
from mmpretrain.registry import MODELS  # noqa: E402
from mmpretrain.structures import DataSample  # noqa: E402

_NORMALISATION = ('mean', 'std', 'to_rgb')
# where the config of a teacher says what its weights are: mmengine's and timm's keys
_WEIGHTS = ('init_cfg', 'pretrained', 'checkpoint_path')


@MODELS.register_module()
class DistillationClsHead(LinearClsHead):
    """Two linear layers, one for the labels and one for a teacher's classes.

    Logits are the mean of both. With a teacher, each layer has a loss of its own:
    1 - ``alpha`` times ``loss`` of the first and the labels, and ``alpha`` times the
    cross entropy of the second and the teacher's best class. Without one, the mean is
    trained on the labels.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Number of channels C that are classified.
        alpha (float): Weight of the loss of the second layer, from 0 to 1. Default: 0.5.
        **kwargs: Other arguments of mmpretrain's ``LinearClsHead``.

    Raises:
        ConfigError: If ``alpha`` is not between 0 and 1.
    """

    def __init__(self, num_classes: int, in_channels: int, alpha: float = 0.5, **kwargs) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if not 0 <= alpha <= 1:
            raise ConfigError(f'alpha must be between 0 and 1, got {alpha!r}')
        self.alpha = alpha
        self.fc_dist = nn.Linear(in_channels, num_classes)

    def forward(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Classify.

        Args:
            feats (Sequence[Tensor]): Outputs of the neck, the last of shape (B, C).

        Returns:
            Tensor: Logits (B, num_classes), the mean of both layers.
        """
        x = self.pre_logits(feats)
        return (self.fc(x) + self.fc_dist(x)) / 2

    def loss(
        self,
        feats: Sequence[torch.Tensor],
        data_samples: list[DataSample],
        teacher_logits: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        """Compute the losses.

        Args:
            feats (Sequence[Tensor]): Outputs of the neck, the last of shape (B, C).
            data_samples (list[DataSample]): Labels, or scores of mixed labels.
            teacher_logits (Tensor, optional): The teacher's logits of the same
                images, (B, num_classes). Default: None.
            **kwargs: Other arguments of the loss of the labels.

        Returns:
            dict[str, Tensor]: ``loss`` and, with a teacher, ``loss_dist``.

        Raises:
            ConfigError: If the teacher has another number of classes.
        """
        if teacher_logits is None:
            return super().loss(feats, data_samples, **kwargs)
        if teacher_logits.shape[1] != self.num_classes:
            raise ConfigError(
                f'the teacher tells {teacher_logits.shape[1]} classes apart, the head '
                f'{self.num_classes}: give a teacher of the same classes, or model.teacher=None'
            )
        x = self.pre_logits(feats)
        losses = self._get_loss(self.fc(x), data_samples, **kwargs)
        losses['loss'] = (1 - self.alpha) * losses['loss']
        distance = F.cross_entropy(self.fc_dist(x), teacher_logits.argmax(1))
        return dict(losses, loss_dist=self.alpha * distance)


class _Unregistered:
    """A module that the model around it neither saves, trains, averages nor copies."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict) -> '_Unregistered':
        return self


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    """Classifier of mmpretrain whose head is also trained on a teacher's predictions.

    The teacher is given the batch that the model is trained on: mixed, and normalised
    as the model's ``data_preprocessor`` says. So it must have been trained on images of
    the same mean, std and order of colors. It runs in eval mode, without gradients and
    without autocast. It is built when training begins, and no checkpoint has it.

    Args:
        *args: Arguments of mmpretrain's ``ImageClassifier``.
        teacher (dict, optional): Config of a classifier of mmpretrain, with its weights
            in ``init_cfg``, or of timm, ``dict(type='TimmClassifier', model_name=NAME,
            pretrained=True)`` or with ``checkpoint_path=FILE``. Of a
            ``data_preprocessor`` in it, mean, std and to_rgb are compared with the
            model's. None: the head is trained on the labels alone. Default: None.
        **kwargs: Other arguments of ``ImageClassifier``.

    Raises:
        ConfigError: If the teacher is no dict or has no weights or no head, or if it
            expects images of another mean, std or order of colors.
    """

    def __init__(self, *args: Any, teacher: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if teacher is not None:
            _check_teacher(teacher)
            _check_images(teacher, self.data_preprocessor)
        self._teacher_cfg = teacher
        self._teacher: _Unregistered | None = None

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says, and build the teacher, where weights are read."""
        super().init_weights()
        if self._teacher_cfg is not None:
            self._find_teacher()

    def loss(self, inputs: torch.Tensor, data_samples: list[DataSample]) -> dict:
        """Compute the losses of a batch.

        Args:
            inputs (Tensor): Images of shape (B, 3, H, W).
            data_samples (list[DataSample]): Their labels, or scores of mixed labels.

        Returns:
            dict[str, Tensor]: Losses of the head.
        """
        if self._teacher_cfg is None:
            return super().loss(inputs, data_samples)
        teacher = self._find_teacher().to(inputs.device)
        with torch.no_grad():
            logits = _run_teacher(inputs, teacher)
        return self.head.loss(self.extract_feat(inputs), data_samples, teacher_logits=logits)

    def _find_teacher(self) -> nn.Module:
        """Return the teacher, which is built and frozen once."""
        if self._teacher is None:
            teacher = MODELS.build(deepcopy(self._teacher_cfg))
            # timm reads weights when it builds
            if teacher.init_cfg:
                _load(teacher, **teacher.init_cfg)
            teacher.eval().requires_grad_(False)
            self._teacher = _Unregistered(teacher)
            name = self._teacher_cfg.get('model_name') or type(teacher).__name__
            print_log(f'{type(self).__name__}: learns from {name} too', logger='current')
        return self._teacher.module


def _check_teacher(teacher):
    if not isinstance(teacher, Mapping):
        raise ConfigError(
            f'model.teacher must be the config of a classifier, a dict, got {teacher!r}'
        )
    given = teacher.get('init_cfg') or dict(type='Pretrained', checkpoint='')
    if not isinstance(given, Mapping):
        raise ConfigError(
            "model.teacher.init_cfg must be one dict(type='Pretrained', checkpoint=FILE), got "
            f'{given!r}'
        )
    if teacher.get('backbone') and not teacher.get('head'):
        raise ConfigError(
            'model.teacher has no head, whose logits are learned: give model.teacher.head'
        )
    if not any(map(teacher.get, _WEIGHTS)) or initializer_name(given) != 'Pretrained':
        raise ConfigError(
            "model.teacher has no weights: give init_cfg=dict(type='Pretrained', "
            'checkpoint=FILE) to a classifier of mmpretrain, pretrained=True or '
            'checkpoint_path=FILE to one of timm, or model.teacher=None to train without'
        )
    check_init_cfg(given)


def _check_images(teacher, preprocessor):
    """Compare the normalisation of the teacher's config with the model's, if both are known."""
    given = teacher.get('data_preprocessor')
    known = isinstance(given, Mapping) and given.get('mean') and given.get('std')
    if not known or not all(hasattr(preprocessor, key) for key in _NORMALISATION):
        return
    # mmpretrain's default of to_rgb
    expected = _describe(given['mean'], given['std'], given.get('to_rgb', False))
    own = _describe(*(getattr(preprocessor, key) for key in _NORMALISATION))
    if expected != own:
        raise ConfigError(
            f'model.teacher.data_preprocessor expects images with {expected}, and the teacher is '
            f"given the model's, with {own}: give a teacher that was trained on such images"
        )


def _describe(mean, std, to_rgb):
    numbers = [
        [round(value, 3) for value in torch.as_tensor(given).double().flatten().tolist()]
        for given in (mean, std)
    ]
    return 'mean={}, std={}, to_rgb={}'.format(*numbers, bool(to_rgb))


def _load(teacher, checkpoint, prefix=None, **_):
    """Load a file that has all of the teacher, or raise."""
    file = find_weights(load_checkpoint(checkpoint, 'cpu'))
    try:
        loaded = teacher.load_state_dict(strip_prefix(file, dotted(prefix)), False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CoverageError(
            f'{checkpoint} does not fit the teacher ({reason}): give the file of model.teacher'
        ) from error
    missing = [name for name in loaded.missing_keys if not is_bn_counter(name)]
    if missing:
        raise CoverageError(
            f'{checkpoint} lacks {summarize(missing)} of the teacher: give the file of '
            'model.teacher, and its prefix if it has one'
        )


@without_autocast
def _run_teacher(images, teacher):
    return teacher(images.float(), mode='tensor')
