"""Metrics of an exported file on the test set of its config."""

import tempfile
from math import nan
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import nn

from ..run import load_config, load_runner
from .original import paste_masks
from .runtimes import Run


def evaluate(
    config: str, checkpoint: str | None, run: Run, cfg_options: dict | None = None
) -> dict[str, tuple[float, float]]:
    """Compute the config's own metrics of a whole detector's or segmentor's file.

    Args:
        config (str): Config file.
        checkpoint (str, optional): File of the weights.
        run (Callable): What runs the file; see `open_file`.
        cfg_options (dict, optional): Values that override the config's. Default: None.

    Returns:
        dict[str, tuple[float, float]]: By name of a metric, its value for the file, and that
        for torch; NaN for one that finds nothing, of which mmdet computes no metric.

    Raises:
        UserError: If the test set cannot be read.
    """
    # of the log, which the run would leave otherwise
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, cfg_options, work_dir=folder)
        runner = load_runner(cfg, checkpoint)
        expected = runner.test()
        runner.model = FileModel(runner.model, run)
        got = runner.test()
    names = dict.fromkeys([*expected, *got])
    return {name: (got.get(name, nan), expected.get(name, nan)) for name in names}


class FileModel(BaseModel):
    """A model whose network is a file.

    Args:
        model (nn.Module): The detector or segmentor that was exported.
        run (Callable): What runs the file.
    """

    def __init__(self, model: nn.Module, run: Run) -> None:
        super().__init__(data_preprocessor=model.data_preprocessor)
        self.model, self.run = model, run

    def forward(self, inputs: torch.Tensor, data_samples: list, mode: str = 'predict') -> Any:
        """Predict a batch.

        Args:
            inputs (Tensor): Normalised images of shape (B, 3, H, W).
            data_samples (list): Their data samples.
            mode (str): ``'predict'``, as mmengine gives it. Default: ``'predict'``.

        Returns:
            list: The data samples with predictions.
        """
        shapes = np.float32([sample.img_shape for sample in data_samples])
        outputs = self.run(dict(images=inputs.cpu().numpy(), sizes=shapes))
        if len(outputs) == 1:
            return self.model.postprocess_result(torch.from_numpy(outputs[0]), data_samples)
        for i, sample in enumerate(data_samples):
            own = [values[i] for values in outputs]
            sample.pred_instances = self._instances(own, sample.metainfo)
        return data_samples

    def _instances(self, outputs: list[np.ndarray], info: dict) -> InstanceData:
        boxes, labels, *masks = (values[outputs[0][:, 4] > 0] for values in outputs)
        found = InstanceData(labels=torch.from_numpy(labels))
        found.scores = torch.from_numpy(boxes[:, 4])
        found.bboxes = torch.from_numpy(boxes[:, :4] / np.tile(info['scale_factor'], 2))
        if masks:
            drawn = paste_masks(self.model.roi_head, boxes, masks[0], info, rescale=True)
            found.masks = torch.from_numpy(drawn)
        return found
