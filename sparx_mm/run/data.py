"""The data set of a config, without a model."""

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, init_default_scope

from ..data_checks import check_data, settle_label_checks, use_checked_loaders
from ..errors import UserError
from .mistakes import config_errors
from .preflight import check_packages


def load_dataset(cfg: Config, split: str) -> BaseDataset:
    """Build a data set of a config.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        BaseDataset: The data set, read.

    Raises:
        UserError: If the config has no such set, or if something is wrong with it.
    """
    check_packages(cfg)
    if cfg.get(f'{split}_dataloader') is None:
        raise UserError(f'the config has no {split}_dataloader')
    settle_label_checks(cfg, (split,))
    check_data(cfg, (split,))
    use_checked_loaders(cfg)
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    with config_errors(cfg.to_dict()):
        dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
        dataset.full_init()
    return dataset
