"""Looking at models: functions that the tools call."""
from .complexity import Complexity, make_complexity_table
from .flops import CONVENTIONS, count_complexity
from .models import load_model
from .predictions import draw_predictions, write_picture

__all__ = [
    'CONVENTIONS', 'Complexity', 'count_complexity', 'draw_predictions',
    'load_model', 'make_complexity_table', 'write_picture'
]
