"""Layer-wise learning rates that ask the backbone how deep a parameter is."""

from inspect import signature

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ...errors import ConfigError

# checked, because mmengine ignores an option that is misspelt
OPTIONS = (
    'bias_decay_mult',
    'bias_lr_mult',
    'bypass_duplicate',
    'custom_keys',
    'dcn_offset_lr_mult',
    'dwconv_decay_mult',
    'flat_decay_mult',
    'layer_decay_rate',
    'norm_decay_mult',
)


def use_layer_decay(cfg: Config) -> None:
    """Name the constructor of layer-wise decay in a config that asks for it and names none.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    if 'layer_decay_rate' in (wrapper.get('paramwise_cfg') or {}):
        # mmengine's own constructor passes over an option that it does not know
        wrapper.setdefault('constructor', LayerDecayOptimWrapperConstructor.__name__)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with lower learning rates for lower layers.

    ``norm_decay_mult`` is that of ``nn.RMSNorm`` too, which mmengine does not take for a norm.
    After all other rules of ``paramwise_cfg``, the rate of each parameter is
    multiplied by ``layer_decay_rate ** (num_depths - 1 - depth)``. ``depth``
    and ``num_depths`` come from the ``get_layer_depth(param_name, prefix)`` of
    the module around the parameter; our backbones and those of mmpretrain
    have it. Parameters outside such a module keep their rate.

    Args:
        optim_wrapper_cfg (dict): See `DefaultOptimWrapperConstructor`.
        paramwise_cfg (dict, optional): Options of
            `DefaultOptimWrapperConstructor`, and

            - ``layer_decay_rate`` (float): Ratio of the rate at a depth to
              the rate at the next depth, in (0, 1]. 1 for mmengine's own
              rates. Default: 1.

    Raises:
        ConfigError: If an option is unknown, if the rate is not in (0, 1], if
            the optimizer has no ``lr``, or when called with a model in which
            no module has ``get_layer_depth``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        unknown = sorted(set(paramwise_cfg or ()) - set(OPTIONS))
        if unknown:
            raise ConfigError(
                f'paramwise_cfg has no option {unknown[0]!r}; it has {", ".join(OPTIONS)}'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        self.rate = self.paramwise_cfg.get('layer_decay_rate', 1.0)
        if not isinstance(self.rate, (int, float)) or not 0 < self.rate <= 1:
            raise ConfigError(
                f'paramwise_cfg.layer_decay_rate must be a number in (0, 1], got {self.rate!r}'
            )
        if self.rate != 1 and self.base_lr is None:
            raise ConfigError(
                'paramwise_cfg.layer_decay_rate needs a learning rate to multiply: set optimizer.lr'
            )

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Append a parameter group for each trainable parameter.

        Args:
            params (list[dict]): Parameter groups; changed in place.
            module (nn.Module): The model, or a part of it.
            prefix (str): Name of the part; ``''`` for the model.
                Default: ``''``.
            **kwargs: See `DefaultOptimWrapperConstructor`.
        """
        before = len(params)
        super().add_params(params, module, prefix=prefix, **kwargs)
        if isinstance(module, nn.RMSNorm):
            self._spare_norm(params[before:], prefix)
        # the parent calls this method for every part, with its prefix
        if prefix or self.rate == 1:
            return
        scales = layer_scales(module, self.rate)
        for group in params:
            # the parent gives each parameter a group of its own
            scale = scales.get(id(group['params'][0]), 1.0)
            group['lr'] = group.get('lr', self.base_lr) * scale
        print_log(
            f'layer_decay_rate {self.rate}: learning rates are multiplied '
            f'by {min(scales.values()):.3g} (first layers) to 1',
            logger='current',
        )

    def _spare_norm(self, groups, prefix):
        """Give the weight of a norm the decay of norms, unless a custom key names it."""
        mult = self.paramwise_cfg.get('norm_decay_mult')
        custom = self.paramwise_cfg.get('custom_keys', {})
        if mult is None or self.base_wd is None or any(key in f'{prefix}.weight' for key in custom):
            return
        for group in groups:
            group['weight_decay'] = self.base_wd * mult


def layer_scales(model: nn.Module, rate: float) -> dict[int, float]:
    """Compute the factors of layer-wise decay for the learning rates.

    Args:
        model (nn.Module): A model.
        rate (float): Ratio of the rate at a depth to the rate at the next.

    Returns:
        dict[int, float]: Factors by ``id`` of the parameter, for parameters
        of modules that have ``get_layer_depth``.

    Raises:
        ConfigError: If there is no such module.

    Example:
        >>> from sparx_mm import SparXMamba
        >>> scales = layer_scales(SparXMamba('tiny'), 0.5)
        >>> min(scales.values()) == 0.5**14
        True
    """
    scales: dict[int, float] = {}
    for name, module in model.named_modules():
        # a model of mmpretrain takes names alone, and asks its backbone
        depth_of = getattr(module, 'get_layer_depth', None)
        if depth_of is None or len(signature(depth_of).parameters) < 2:
            continue
        prefix = f'{name}.' if name else ''
        for param_name, parameter in module.named_parameters(name):
            depth, num_depths = depth_of(param_name, prefix)
            # setdefault, because the outer of two nested modules decides
            scales.setdefault(id(parameter), rate ** (num_depths - 1 - depth))
    if not scales:
        raise ConfigError(
            'paramwise_cfg.layer_decay_rate needs a backbone that knows the '
            'depth of its layers, and no module of '
            f'{type(model).__name__} has get_layer_depth: take a SparX '
            'backbone, or set the rate to 1'
        )
    return scales
