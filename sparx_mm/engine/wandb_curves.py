"""Backend of mmengine's visualizer for Weights & Biases."""

from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env


@VISBACKENDS.register_module()
class WandbCurves(WandbVisBackend):
    """Backend that sends a run's curves, images and config.

    mmengine's own sends every Python file below the working folder too, a virtual
    environment included.
    """

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Send the config of a run.

        Args:
            config (Config): The config.
            **kwargs: Not used.
        """
        self.experiment.config.update(config.to_dict(), allow_val_change=True)
