"""Check what ruff does not: docstrings begin with a verb and name all parameters.

- The first line is one sentence that begins with an imperative verb; a property's may
  begin otherwise.
- A public function with two or more parameters has a section ``Args:`` that names each of
  them and nothing else; any other section ``Args:`` is complete too. A class documents the
  parameters of ``__init__``. ``self``, ``cls``, ``*args``, ``**kwargs`` and ``_names``
  need no entry. Entries may share a line: ``a, b: As in `other_function`.``
- A method without a docstring, in a class with bases, inherits theirs.

Usage: python scripts/check_docstrings.py PATH...
"""

import ast
import re
import sys
from pathlib import Path

OPENERS = set(
    """a all an and any as at by depth each every for from ganglion how if image in inverse it
    largest minimum no of on one only own path peak selective shell that the there these this
    those three to two version what when where whether which who whose why width with
    within""".split()
)
# forms of nouns and participles, and every word before "of"
NO_VERB = re.compile(
    r'[\w-]*([^s]s|[aeiouy]\w*(ing|[^e]ed)|(?<!arti)tion|ness|ity|\w(?= of\b))(?!\w)'
)


def _first_line_error(text):
    line, *rest = text.splitlines()
    if not line.endswith('.') or (rest and rest[0]):
        return 'the first line is not one sentence that ends with a period'
    word = re.match(r'[A-Z][a-z-]+(?=\W)', line)
    if not word or word[0].lower() in OPENERS or NO_VERB.match(line):
        return f'the first line begins with {line.split()[0]!r}, not with an imperative verb'
    return ''


def _args_error(args, text, is_public):
    named = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    wanted = [name for name in named if name not in ('self', 'cls') and name[0] != '_']
    section = re.search(r'^Args:\n((    .*\n|\n)*)', text + '\n', re.M)
    entries = re.findall(r'^    (\S[^:(]*)', section[1] if section else '', re.M)
    found = {name.strip(' *\n') for entry in entries for name in entry.split(',')}
    missing = [name for name in wanted if name not in found]
    if missing and (section or is_public and len(wanted) > 1):
        return f'"Args:" lacks {", ".join(missing)}'
    unknown = found - {*named, *(arg.arg for arg in (args.vararg, args.kwarg) if arg)}
    if unknown and not args.kwarg:
        return f'"Args:" names {", ".join(sorted(unknown))}, which is no parameter'
    return ''


def _errors(node, owner=None, is_public=True):
    """Yield the line, the name and the error, or '', of each function in a tree."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _errors(child, child, is_public and child.name[0] != '_')
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            text, name = ast.get_docstring(child) or '', child.name
            if text and not any('property' in ast.unparse(d) for d in child.decorator_list):
                yield child.lineno, name, _first_line_error(text)
            if owner and name == '__init__':
                text = ast.get_docstring(owner) or text
            if text or not (owner and owner.bases):
                seen = is_public and (name[0] != '_' or name in ('__init__', '__call__'))
                yield child.lineno, name, _args_error(child.args, text, seen)
            yield from _errors(child, None, False)
        else:
            yield from _errors(child, owner, is_public)


def main(paths):
    """Print the errors in files and folders, and return how many there are."""
    count = 0
    for path in map(Path, paths):
        for file in sorted(path.rglob('*.py')) if path.is_dir() else [path]:
            for line, name, error in _errors(ast.parse(file.read_text())):
                if error:
                    print(f'{file}:{line}: {name}: {error}')
                    count += 1
    return count


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]) > 0)
