"""Each row of docs/reliability.md is tried by a test, and each test marked faults tries a row."""

import ast
from pathlib import Path

from fault_table import find_row, read_rows

TREES = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob('**/test_*.py')]


def test_each_row_is_tried():
    calls = [node for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == 'pytest.mark.tries']
    rows = read_rows()
    tried = [find_row(fault.value, rows) for mark in marks for fault in mark.args]
    assert [row for row in rows if row not in tried] == []


def test_each_test_marked_faults_tries_a_row():
    for tree in TREES:
        of_all = [
            ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'pytestmark'
        ]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
                marks = ' '.join([*of_all, *map(ast.unparse, node.decorator_list)])
                assert 'mark.faults' not in marks or 'mark.tries' in marks, node.name
