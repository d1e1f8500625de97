"""Analysis of models: what they cost, which layers read which, what they compute."""

from .complexity.counter import CONVENTIONS, count_complexity
from .complexity.table import Complexity, make_complexity_table, make_sweep_table
from .connections.figure import draw_connections, write_figure
from .connections.graph import StageGraph, connection_graph
from .look.images import find_images, read_images
from .look.kinds import KINDS, look, write_numbers
from .look.networks import Network, make_network
from .models import load_model
from .paper import PAPERS
from .paper.table import PaperRow, count_row, make_paper_table

__all__ = [
    'CONVENTIONS',
    'Complexity',
    'KINDS',
    'Network',
    'PAPERS',
    'PaperRow',
    'StageGraph',
    'connection_graph',
    'count_complexity',
    'count_row',
    'draw_connections',
    'find_images',
    'load_model',
    'look',
    'make_network',
    'make_complexity_table',
    'make_paper_table',
    'make_sweep_table',
    'read_images',
    'write_figure',
    'write_numbers',
]
