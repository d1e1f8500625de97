"""A look for NaN at what a model makes of each image that it is evaluated on."""

from typing import Any

from mmengine.logging import MMLogger
from torch import nn

from .values import bad_images, has_nan, image_files, shorten, watched_parts

# batches that get a line of their own; the others are counted
MAX_LINES = 10


class NanWatch:
    """Name the images for which a model's parts or predictions have NaN.

    A detector drops boxes with a score of NaN, so that its predictions do not
    show it: its backbone, neck and heads do.

    Args:
        model (nn.Module): The model, without a wrapper.
        logger (MMLogger): Logger of the run.
    """

    def __init__(self, model: nn.Module, logger: MMLogger) -> None:
        self.logger = logger
        self.batches = 0
        self._found = []
        self._hooks = [
            module.register_forward_hook(
                lambda module, args, output, name=name: self._look(f'the output of {name}', output)
            )
            for name, module in watched_parts(model)
        ]

    def after_batch(self, batch: Any, outputs: Any) -> None:
        """Log a line if the batch, a part or the predictions have NaN.

        Args:
            batch (Any): Batch of the data loader.
            outputs (Any): Predictions of the model.
        """
        self._look('the predictions', outputs)
        found, self._found = self._found, []
        text = '; '.join(description for description, _ in bad_images(batch))
        if not text and any(found_nan for _, found_nan in found):
            # the first part, because those after it only hand it on
            where = next(name for name, found_nan in found if found_nan)
            text = f'NaN in {where} for {shorten(image_files(batch)) or "a batch"}'
        if text:
            self.batches += 1
            if self.batches <= MAX_LINES:
                self.logger.warning(f'{text}: what is predicted there means nothing')

    def close(self) -> None:
        """Stop looking, and log the number of batches that were not named."""
        for hook in self._hooks:
            hook.remove()
        if self.batches > MAX_LINES:
            self.logger.warning(f'NaN in {self.batches} batches in all')

    def _look(self, name, output):
        found = has_nan(output)
        if found is not None:
            self._found.append((name, found))
