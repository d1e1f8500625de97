"""Looking at models: functions that the tools call."""
from .predictions import draw_predictions, write_picture

__all__ = ['draw_predictions', 'write_picture']
