"""Initialisers of a backbone from a file, built by ``init_cfg``.

``dict(type='Pretrained', ...)`` loads a file that covers a backbone;
``dict(type='PretrainedSwin', ...)`` starts one from a plain Swin, and
``dict(type='PretrainedVMamba', ...)`` VM-UNet's encoder or decoder from a VMamba.
"""

from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS

from ..config_nodes import type_name
from ..errors import ConfigError, UserError
from ..state_dicts import SWIN, VMAMBA, CoverageError, Report, find_weights, fit
from ..state_dicts.fit import PARTIAL_INITS

# packages that install what mmengine.runner imports, where the names differ
_PACKAGES = dict(cv2='opencv-python-headless')

# types of an init_cfg that read a checkpoint, all of it or a part
_WHOLE = 'Pretrained'
CHECKPOINT_INITS = (_WHOLE, *PARTIAL_INITS.values())
_OPTIONS = ('checkpoint', 'prefix', 'map_location')


def initializer_name(cfg: Mapping) -> str:
    """Return the name by which the initialiser of an ``init_cfg`` is registered.

    Args:
        cfg (Mapping): One initialisation; its ``type`` may be a class, or have a scope or a
            module, as `Config.dump` writes a class.

    Returns:
        str: The name, which is no registered one if the type is not.

    Example:
        >>> initializer_name(dict(type='mmengine.model.PretrainedInit'))
        'Pretrained'
    """
    return type_name(cfg).removesuffix('Init')


def check_init_cfg(init_cfg: dict | list[dict] | None) -> None:
    """Check that an ``init_cfg`` has what every one needs.

    Args:
        init_cfg (dict or list[dict], optional): Initialisation config of mmengine.

    Raises:
        ConfigError: If a part is no dict, has no type, or loads no file that it names, or
            by options that there are not.
    """
    if init_cfg is None:
        return
    for one in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if not isinstance(one, dict) or 'type' not in one:
            text = f"init_cfg must be a dict with a 'type', or a list of them, got {one!r}"
            if isinstance(one, str):
                text += f': give dict(type={_WHOLE!r}, checkpoint={one!r})'
            raise ConfigError(text)
        if initializer_name(one) in CHECKPOINT_INITS:
            _check_checkpoint(one)


def _check_checkpoint(cfg):
    if not isinstance(cfg.get('checkpoint'), str):
        raise ConfigError(f'init_cfg {cfg} needs checkpoint=FILE, a path or URL')
    unknown = [key for key in cfg if key not in ('type', *_OPTIONS)]
    if unknown:
        raise ConfigError(
            f'init_cfg {cfg} has no option {unknown[0]!r}; it has {", ".join(_OPTIONS)}'
        )
    if not isinstance(cfg.get('prefix'), (str, type(None))):
        raise ConfigError(f'init_cfg {cfg} needs a str as prefix, or none')


def split_init_cfg(init_cfg: dict | list[dict] | None) -> tuple[list[dict], list[dict]]:
    """Separate the files of an ``init_cfg`` from its other initialisations.

    Args:
        init_cfg (dict or list[dict], optional): Initialisation config of mmengine.

    Returns:
        tuple[list[dict], list[dict]]: The others, and those of type
        ``'Pretrained'``. Of the others, those that take parts of a file come
        last, because rules would write over them.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    files = [c for c in cfgs if initializer_name(c) == _WHOLE]
    others = [c for c in cfgs if c not in files]
    return sorted(others, key=lambda c: initializer_name(c) in PARTIAL_INITS.values()), files


def dotted(prefix: str | None) -> str:
    """Return a prefix with its dot; mmengine accepts it with and without.

    Args:
        prefix (str, optional): Start of names.
    """
    return f'{prefix.rstrip(".")}.' if prefix else ''


class PretrainedBackboneInit(PretrainedInit):
    """Load a file that covers the backbone, or raise.

    mmengine's own initialiser loads whatever matches by name, possibly nothing,
    and only warns.

    Args:
        checkpoint (str): File, URL, or a name that mmengine resolves.
        prefix (str, optional): Start of the backbone's names in the file, for
            example ``'backbone.'``. Default: None.
        map_location (str): Device that the tensors are read to. Default: 'cpu'.
    """

    def fit(self, module, file: Mapping) -> Report:
        """Find the tensors that a backbone takes from a state dict.

        Args:
            module (Backbone): The backbone.
            file (Mapping): Names and tensors.

        Returns:
            Report: The tensors to load, and the line to log.
        """
        return fit(module.state_dict(), file, module.key_map, dotted(self.prefix), module.arch_zoo)

    def __call__(self, module) -> None:
        """Load the file into a backbone.

        Args:
            module (Backbone): The backbone.

        Raises:
            CoverageError: If the file has fewer of the backbone's tensors
                than it should. The message names them and what to do.
            UserError: If the file cannot be read, or a package is missing that
                mmengine's lists of models need.
        """
        # imported lazily: most backbones are built without a file
        from ..checkpoint_io import load_checkpoint

        try:
            file = load_checkpoint(self.checkpoint, self.map_location)
        except ModuleNotFoundError as error:
            package = _PACKAGES.get(error.name, error.name)
            raise UserError(
                f'{self.checkpoint} cannot be read without {error.name}, which is not '
                f'installed; type: pip install {package}'
            ) from error

        try:
            report = self.fit(module, find_weights(file))
        except CoverageError as error:
            raise CoverageError(f'{self.checkpoint}: {error}') from error
        module.load_state_dict(report.weights, strict=False)
        print_log(f'{type(module).__name__}: {self.checkpoint}: {report}', logger='current')
        # a model drops its record at the end of its own init_weights
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())


@WEIGHT_INITIALIZERS.register_module(PARTIAL_INITS[SWIN])
class PretrainedSwinInit(PretrainedBackboneInit):
    """Start a backbone from the parts that it shares with a plain Swin.

    The file is one of the original code, timm or OpenMMLab. SparX-Swin-T has the
    channels of Swin-T in its first two stages: their tensors are loaded, except
    the projections that an aggregator replaces, and the logged line counts them
    and says why the others are not.

    Args:
        checkpoint (str): File, URL, or a name that mmengine resolves.
        prefix (str, optional): Start of Swin's names in the file, for example
            ``'backbone.'``. Default: None.
        map_location (str): Device that the tensors are read to. Default: 'cpu'.

    Example:
        >>> from sparx_mm import SparXSwin
        >>> model = SparXSwin('tiny', init_cfg=dict(
        ...     type='PretrainedSwin', checkpoint='swin_tiny.pth'))
    """

    def fit(self, module, file: Mapping) -> Report:
        """Find the parts that a backbone takes; see `sparx_mm.state_dicts.fit`.

        Args:
            module (Backbone): The backbone.
            file (Mapping): Names and tensors.

        Returns:
            Report: The tensors to load, and the line to log.

        Raises:
            CoverageError: If ``module`` is no backbone, or if nothing fits.
        """
        if not hasattr(module, 'key_map'):
            raise CoverageError(
                "type='PretrainedSwin' starts a backbone, not "
                f'{type(module).__name__}: give it in model.backbone.init_cfg'
            )
        return fit(dict(module.named_parameters()), file, SWIN, dotted(self.prefix), in_parts=True)


@WEIGHT_INITIALIZERS.register_module(PARTIAL_INITS[VMAMBA])
class PretrainedVMambaInit(PretrainedBackboneInit):
    """Start VM-UNet's encoder or decoder from the layers that a VMamba has too.

    The file is a VMamba of the first release, as VM-UNet's authors take: VMamba-S on
    ImageNet. Layer j of the encoder's stage i starts from layer j of the file's stage i, and
    so does layer j of the decoder's level of as many channels. A CVSSBlock starts from it
    with its scan and what is around that. A layer is taken whole or not at all, and the
    logged line counts what is taken.

    Args:
        checkpoint (str): File, URL, or a name that mmengine resolves.
        prefix (str, optional): Start of VMamba's names in the file, for example
            ``'backbone.'``. Default: None.
        map_location (str): Device that the tensors are read to. Default: 'cpu'.

    Example:
        >>> from sparx_mm import VMUNetEncoder
        >>> model = VMUNetEncoder('tiny', init_cfg=dict(
        ...     type='PretrainedVMamba', checkpoint='vssmsmall_dp03_ckpt_epoch_238.pth'))
    """

    def fit(self, module, file: Mapping) -> Report:
        """Find the layers that an encoder or a decoder takes; see `sparx_mm.state_dicts.fit`.

        Args:
            module (nn.Module): A `VMUNetEncoder` or ``VMUNetHead``.
            file (Mapping): Names and tensors.

        Returns:
            Report: The tensors to load, and the line to log.

        Raises:
            CoverageError: If ``module`` is another one, or if nothing fits.
        """
        if not hasattr(module, 'vmamba_names'):
            raise CoverageError(
                "type='PretrainedVMamba' starts VMUNetEncoder and VMUNetHead, not "
                f'{type(module).__name__}: give it in their init_cfg'
            )
        own, names = dict(module.named_parameters()), module.vmamba_names()
        there = {names[name]: own[name] for name in names}
        report = fit(there, file, VMAMBA, dotted(self.prefix), in_parts=True)
        back = {vmamba: name for name, vmamba in names.items()}
        others = [name for name in own if name not in names]
        return report._replace(
            own=own,
            weights={back[name]: value for name, value in report.weights.items()},
            adapted=[back[name] for name in report.adapted],
            reshaped={back[name]: shapes for name, shapes in report.reshaped.items()},
            left_out=[back[name] for name in report.left_out],
            missing=[*(back[name] for name in report.missing), *others],
        )
