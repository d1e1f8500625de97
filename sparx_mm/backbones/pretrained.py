"""Initialisers of a backbone from a file, built by ``init_cfg``.

``dict(type='Pretrained', ...)`` loads a file that covers a backbone;
``dict(type='PretrainedSwin', ...)`` starts one from a plain Swin.
"""

from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS

from ..errors import ConfigError, UserError
from ..state_dicts import SWIN, CoverageError, Report, find_weights, fit

# packages that install what mmengine.runner imports, where the names differ
_PACKAGES = dict(cv2='opencv-python-headless')

# types of an init_cfg that read a checkpoint, all of it or a part
CHECKPOINT_INITS = _WHOLE, _PART = 'Pretrained', 'PretrainedSwin'


def check_init_cfg(init_cfg: dict | list[dict] | None) -> None:
    """Check that an ``init_cfg`` has what every one needs.

    Args:
        init_cfg (dict or list[dict], optional): Initialisation config of mmengine.

    Raises:
        ConfigError: If a part is no dict, has no type, or loads no file that it names.
    """
    for one in [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []:
        if not isinstance(one, dict) or 'type' not in one:
            raise ConfigError(
                f"init_cfg must be a dict with a 'type', or a list of them, got {one!r}"
            )
        if one['type'] in CHECKPOINT_INITS and not isinstance(one.get('checkpoint'), str):
            raise ConfigError(f'init_cfg {one} needs checkpoint=FILE, a path or URL')


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
    files = [c for c in cfgs if c.get('type') in (_WHOLE, PretrainedInit)]
    others = [c for c in cfgs if c not in files]
    partial = (_PART, PretrainedSwinInit)
    return sorted(others, key=lambda c: c.get('type') in partial), files


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
            module (HierarchicalBackbone): The backbone.
            file (Mapping): Names and tensors.

        Returns:
            Report: The tensors to load, and the line to log.
        """
        return fit(module.state_dict(), file, module.key_map, dotted(self.prefix), module.arch_zoo)

    def __call__(self, module) -> None:
        """Load the file into a backbone.

        Args:
            module (HierarchicalBackbone): The backbone.

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


@WEIGHT_INITIALIZERS.register_module(_PART)
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
            module (HierarchicalBackbone): The backbone.
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
