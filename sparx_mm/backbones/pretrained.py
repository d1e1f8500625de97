"""What `dict(type='Pretrained', ...)` does for a SparX backbone.

And `dict(type='PretrainedSwin', ...)`, for one that starts from a plain Swin.
"""

from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS

from ..state_dicts import CoverageError, Fit, SwinFit, find_weights, fit_backbone, fit_swin

# types of an init_cfg that read a checkpoint
CHECKPOINT_INITS = ('Pretrained', 'PretrainedSwin')


def split_init_cfg(init_cfg: dict | list[dict] | None) -> tuple[list[dict], list[dict]]:
    """Tell the files of an ``init_cfg`` from its other initialisations.

    Args:
        init_cfg (dict or list[dict], optional): As mmengine takes it.

    Returns:
        tuple[list[dict], list[dict]]: The others, and those of type
        ``'Pretrained'``. Of the others, what takes a part of a file comes
        last: rules would write over it.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    files = [c for c in cfgs if c.get('type') in ('Pretrained', PretrainedInit)]
    others = [c for c in cfgs if c not in files]
    partial = ('PretrainedSwin', PretrainedSwinInit)
    return sorted(others, key=lambda c: c.get('type') in partial), files


def dotted(prefix: str | None) -> str:
    """A prefix with its dot; mmengine takes it with and without."""
    return f'{prefix.rstrip(".")}.' if prefix else ''


class PretrainedBackboneInit(PretrainedInit):
    """Load a file that covers the backbone, or raise.

    mmengine's own initializer takes what fits by name, and be it nothing,
    with a warning.

    Args:
        checkpoint (str): File, URL, or a name that mmengine resolves.
        prefix (str, optional): What the backbone's names begin with in the
            file, for example ``'backbone.'``. Default: None.
        map_location (str): Where the tensors are read to. Default: 'cpu'.
    """

    def fit(self, module, file: Mapping) -> Fit | SwinFit:
        """Find what a backbone takes from a state dict.

        Args:
            module (HierarchicalBackbone): The backbone.
            file (Mapping): Names and tensors.

        Returns:
            Fit or SwinFit: Its ``weights`` are loaded, and its text logged.
        """
        return fit_backbone(module.state_dict(), file, dotted(self.prefix), module.arch_zoo)

    def __call__(self, module) -> None:
        """Load into a backbone.

        Args:
            module (HierarchicalBackbone): The backbone.

        Raises:
            CoverageError: If the file has fewer of the backbone's tensors
                than it should. The message names them and what to do.
        """
        # here, not above: it imports OpenCV and Matplotlib
        from mmengine.runner import CheckpointLoader

        file = CheckpointLoader.load_checkpoint(
            self.checkpoint, map_location=self.map_location, logger='current'
        )
        try:
            fit = self.fit(module, find_weights(file))
        except CoverageError as error:
            raise CoverageError(f'{self.checkpoint}: {error}') from error
        module.load_state_dict(fit.weights, strict=False)
        print_log(
            f'{type(module).__name__}: loaded from {self.checkpoint}: {fit}', logger='current'
        )
        update_init_info(module, init_info=self._get_init_info())


@WEIGHT_INITIALIZERS.register_module('PretrainedSwin')
class PretrainedSwinInit(PretrainedBackboneInit):
    """Start from what a backbone shares with a plain Swin.

    A file of the original code, timm or OpenMMLab. SparX-Swin-T has the
    channels of Swin-T in its first two stages: their tensors are loaded, but
    for those in the place of which an aggregator stands, and the line that is
    logged counts them and says what the others lack.

    Args:
        checkpoint (str): File, URL, or a name that mmengine resolves.
        prefix (str, optional): What Swin's names begin with in the file, for
            example ``'backbone.'``. Default: None.
        map_location (str): Where the tensors are read to. Default: 'cpu'.

    Example:
        >>> from sparx_mm import SparXSwin
        >>> model = SparXSwin('tiny', init_cfg=dict(
        ...     type='PretrainedSwin', checkpoint='swin_tiny.pth'))
    """

    def fit(self, module, file: Mapping) -> SwinFit:
        """Find what a backbone takes; see `fit_swin`."""
        if not hasattr(module, 'arch_zoo'):
            raise CoverageError(
                "type='PretrainedSwin' starts a SparX backbone, not "
                f'{type(module).__name__}: give it in model.backbone.init_cfg'
            )
        return fit_swin(dict(module.named_parameters()), file, dotted(self.prefix))
