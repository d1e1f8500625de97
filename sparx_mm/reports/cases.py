"""Metric that remembers how each image of a test went."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

from .judging import Verdict, judge
from .samples import keep_sample

# worst images, and best ones, that are shown
SHOWN = 6


@dataclass
class Case:
    """How one image of a test went.

    Args:
        path (str): File of the image.
        verdict (Verdict): What was right and wrong.
        sample (BaseDataElement, optional): Ground truth and predictions to draw. None for
            the images that are neither among the best nor among the worst.
    """

    path: str
    verdict: Verdict
    sample: BaseDataElement | None


class CaseRecorder(BaseMetric):
    """Metric that measures nothing and remembers how each image went.

    It is appended to the metrics of a runner's evaluator. After the test the first process
    has the images of all in ``cases``.
    """

    def __init__(self) -> None:
        super().__init__(prefix='cases')
        self.cases: list[Case] = []
        self._shown: list[Case] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Judge the predictions of a batch.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Samples with ground truth and predictions.

        Raises:
            UserError: If they cannot be judged, see `judge`.
        """
        classes = self.dataset_meta['classes']
        new = [
            Case(sample.get('img_path', ''), judge(sample, classes), keep_sample(sample))
            for sample in data_samples
        ]
        best, worst = rank([*self._shown, *new])
        shown = {id(case) for case in (*best, *worst)}
        for case in (*self._shown, *new):
            if id(case) not in shown:
                case.sample = None
        self._shown = [*best, *worst]
        self.results += new

    def compute_metrics(self, results: list) -> dict:
        """Keep the images of all processes, and return no metric.

        Args:
            results (list[Case]): The images.
        """
        self.cases = results
        return {}


def rank(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the best and the worst images, each list with the clearest first.

    Args:
        cases (Sequence[Case]): Images; those without a sample are left out. If there are
            few, no image is in both lists.
    """
    known = [c for c in cases if c.sample is not None and c.verdict.quality is not None]
    known.sort(key=lambda case: case.verdict.quality)
    half = len(known) // 2
    return known[::-1][: min(SHOWN, half)], known[: min(SHOWN, len(known) - half)]


def confusion_matrix(cases: Sequence[Case], num_classes: int) -> np.ndarray:
    """Sum what was taken for what.

    Args:
        cases (Sequence[Case]): Images.
        num_classes (int): Number of classes.

    Returns:
        ndarray: Counts by true class and predicted class, of which the last is none:
        (num_classes + 1, num_classes + 1), int64.
    """
    matrix = np.zeros((num_classes + 1,) * 2, np.int64)
    for case in cases:
        true, guessed, counts = case.verdict.pairs.T
        matrix[true, guessed] += counts
    return matrix
