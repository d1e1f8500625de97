"""Looking at models: functions that the tools call."""

from .complexity import Complexity, make_complexity_table
from .connection_figure import draw_connections, write_figure
from .connection_graph import StageGraph, connection_graph
from .flops import CONVENTIONS, count_complexity
from .models import load_model
from .paper import PAPER_ROWS, count_row, make_paper_table
from .predictions import draw_predictions, write_picture

__all__ = [
    'CONVENTIONS',
    'Complexity',
    'PAPER_ROWS',
    'StageGraph',
    'connection_graph',
    'count_complexity',
    'count_row',
    'draw_connections',
    'draw_predictions',
    'load_model',
    'make_complexity_table',
    'make_paper_table',
    'write_figure',
    'write_picture',
]
