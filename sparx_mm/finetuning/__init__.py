"""Fine-tuning on one's own data: converters, choices, the config, and the run."""

from .finetune import Outcome, finetune

__all__ = ['Outcome', 'finetune']
