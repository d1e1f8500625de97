"""mmengine's Inferencers with a checkpoint and no config."""

import functools

from mmengine.infer import BaseInferencer

from ..checkpoint_io import load_checkpoint
from ..errors import UserError
from .saving.test_settings import read_settings


@functools.cache
def install() -> None:
    """Let the Inferencers of mmdet and mmseg take the test settings that a checkpoint carries.

    Given a checkpoint alone they evaluate the text of a config in it, which the safe reader
    drops. They get the settings that `SafeCheckpointHook` saves as data, or end in a line that
    says what to add.
    """
    build = BaseInferencer._init_model

    def _init_model(self, cfg, weights, device='cpu'):
        if not cfg:
            try:
                settings = read_settings(load_checkpoint(weights, map_location='cpu'), weights)
            except UserError as error:
                name = type(self).__name__
                raise UserError(f'{error}: {name}(CONFIG, {weights!r})') from error
            cfg.update(settings.to_dict())
        return build(self, cfg, weights, device)

    BaseInferencer._init_model = _init_model
