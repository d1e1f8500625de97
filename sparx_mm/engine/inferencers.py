"""mmengine's Inferencers with a checkpoint and no config, or with the name of a model of ours."""

import functools

from mmengine.config import Config
from mmengine.infer import BaseInferencer

from ..checkpoint_io import load_checkpoint
from ..errors import UserError
from ..model_index import WEIGHTS_PREFIX, config_path, read_models
from .saving.test_settings import read_settings


@functools.cache
def install() -> None:
    """Let the Inferencers of mmdet and mmseg take the test settings that a checkpoint carries.

    Given a checkpoint alone they evaluate the text of a config in it, which the safe reader
    drops. They get the settings that `SafeCheckpointHook` saves as data, or end in a line that
    says what to add. By the name of a model they find ours too, with the weights that its
    authors have released.
    """
    build = BaseInferencer._init_model
    find = BaseInferencer._load_model_from_metafile

    def _init_model(self, cfg, weights, device='cpu'):
        if not cfg:
            try:
                settings = read_settings(load_checkpoint(weights, map_location='cpu'), weights)
            except UserError as error:
                name = type(self).__name__
                raise UserError(f'{error}: {name}(CONFIG, {weights!r})') from error
            cfg.update(settings.to_dict())
        return build(self, cfg, weights, device)

    def _load_model_from_metafile(self, model):
        if model not in read_models():
            return find(self, model)
        # fetched when it is read, because other weights may be given
        return Config.fromfile(config_path(model)), f'{WEIGHTS_PREFIX}{model}'

    BaseInferencer._init_model = _init_model
    BaseInferencer._load_model_from_metafile = _load_model_from_metafile
