"""mmseg's IoU metric whose means leave some classes out."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from ...errors import ConfigError


@METRICS.register_module()
class SelectiveIoUMetric(BaseMetric):
    """Compute mmseg's ``IoUMetric`` and leave some classes out of its means.

    Their pixels count as before for the other classes and for ``aAcc``, and the table of
    classes shows them. Papers leave out the clutter of Potsdam and Vaihingen so.

    Args:
        ignore_classes (Sequence[str]): Names of the classes.
        collect_device (str): Where results of several processes are collected. Default: ``'cpu'``.
        prefix (str, optional): Prefix of the names of the metrics. Default: None.
        **kwargs: Arguments of ``IoUMetric``.

    Raises:
        ConfigError: If ``ignore_classes`` is no list, and at the first images if a name is no
            class of the data set or if no class is left.
    """

    def __init__(
        self,
        ignore_classes: Sequence[str],
        collect_device: str = 'cpu',
        prefix: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if isinstance(ignore_classes, str) or not isinstance(ignore_classes, Sequence):
            raise ConfigError(
                f'ignore_classes of SelectiveIoUMetric must be a list of names, got {ignore_classes!r}'
            )
        self.ignore_classes = ignore_classes
        # built by name, because `import sparx_mm.engine` works without mmseg
        self._metric = METRICS.build(dict(type='mmseg.IoUMetric', **kwargs))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Add the areas of each sample to the results.

        Args:
            data_batch (dict): Passed on.
            data_samples (Sequence[dict]): Samples with ``pred_sem_seg`` and ``gt_sem_seg``.
        """
        self._kept()
        self._metric.dataset_meta = self.dataset_meta
        self._metric.process(data_batch, data_samples)
        self.results += self._metric.results
        self._metric.results = []

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics, and log the table of all classes.

        Args:
            results (list): Areas of all samples.

        Returns:
            dict: As from ``IoUMetric``.
        """
        inner = self._metric
        metrics = inner.compute_metrics(results)
        if not metrics:
            # format_only
            return metrics
        areas = [sum(one) for one in zip(*results)]
        classes = inner.total_area_to_metrics(*areas, inner.metrics, inner.nan_to_num, inner.beta)
        for name, values in classes.items():
            if f'm{name}' in metrics:
                metrics[f'm{name}'] = np.round(np.nanmean(values[self._kept()]) * 100, 2)
        return metrics

    def _kept(self) -> list[int]:
        """Return the indices of the classes that the means are of."""
        names = self.dataset_meta['classes']
        unknown = [name for name in self.ignore_classes if name not in names]
        kept = [i for i, name in enumerate(names) if name not in self.ignore_classes]
        if unknown or not kept:
            problem = f'has {unknown[0]!r}, which is no class' if unknown else 'names every class'
            raise ConfigError(
                f'ignore_classes of SelectiveIoUMetric {problem}: the classes are {", ".join(names)}'
            )
        return kept
