"""What `dict(type='Pretrained', ...)` does for a SparX backbone."""
from typing import List, Optional, Tuple, Union

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info

from ..weights import CoverageError, find_weights, fit_backbone


def split_init_cfg(
        init_cfg: Union[dict, List[dict],
                        None]) -> Tuple[List[dict], List[dict]]:
    """Tell the files of an ``init_cfg`` from its other initialisations.

    Args:
        init_cfg (dict or list[dict], optional): As mmengine takes it.

    Returns:
        tuple[list[dict], list[dict]]: The others, and those of type
        ``'Pretrained'``.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    files = [
        c for c in cfgs if c.get('type') in ('Pretrained', PretrainedInit)
    ]
    return [c for c in cfgs if c not in files], files


def dotted(prefix: Optional[str]) -> str:
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

    def __call__(self, module) -> None:
        """Load into a backbone.

        Args:
            module (SparXBackbone): The backbone.

        Raises:
            CoverageError: If the file has fewer of the backbone's tensors
                than it should. The message names them and what to do.
        """
        # here, not above: it imports OpenCV and Matplotlib
        from mmengine.runner import CheckpointLoader
        file = CheckpointLoader.load_checkpoint(
            self.checkpoint, map_location=self.map_location, logger='current')
        try:
            fit = fit_backbone(module.state_dict(), find_weights(file),
                               dotted(self.prefix), module.arch_zoo)
        except CoverageError as error:
            raise CoverageError(f'{self.checkpoint}: {error}') from error
        module.load_state_dict(fit.weights, strict=False)
        print_log(
            f'{type(module).__name__}: loaded {fit} from {self.checkpoint}',
            logger='current')
        update_init_info(module, init_info=self._get_init_info())
