"""Analysis of models: what they cost, and which layers read which."""

from .complexity.counter import CONVENTIONS, count_complexity
from .complexity.table import Complexity, make_complexity_table
from .connections.figure import draw_connections, write_figure
from .connections.graph import StageGraph, connection_graph
from .models import load_model
from .paper import PAPERS
from .paper.table import PaperRow, count_row, make_paper_table

__all__ = [
    'CONVENTIONS',
    'Complexity',
    'PAPERS',
    'PaperRow',
    'StageGraph',
    'connection_graph',
    'count_complexity',
    'count_row',
    'draw_connections',
    'load_model',
    'make_complexity_table',
    'make_paper_table',
    'write_figure',
]
