"""What the parts of a run ask about its model."""

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from ..backbones import Backbone


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside of wrappers for DDP and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def find_backbones(model: nn.Module) -> dict[str, Backbone]:
    """Find the backbones of this package in a model.

    Args:
        model (nn.Module): A model, or a backbone.

    Returns:
        dict[str, Backbone]: Each by the prefix of its parameters' names,
        for example ``'backbone.'``, or ``''``.
    """
    return {
        f'{name}.' if name else '': module
        for name, module in model.named_modules()
        if isinstance(module, Backbone)
    }


def rename_backbones(state_dict: dict, backbones: dict[str, Backbone]) -> dict:
    """Translate the released names and shapes of a model's backbones.

    Args:
        state_dict (dict): Names and values; it is not changed.
        backbones (dict[str, Backbone]): The backbones by the prefix of
            their names; see `find_backbones`.

    Returns:
        dict: The same values in the same order.
    """
    for prefix, backbone in backbones.items():
        state_dict = backbone.key_map.to_own(state_dict, prefix)
    return state_dict


def checkpoint_source(runner) -> str:
    """Describe where a runner's checkpoint comes from."""
    return runner._load_from or f'the last one in {runner.work_dir}'
