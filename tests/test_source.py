"""Rules for the source: standard names, plain words, short functions, nothing written twice."""

import ast
import builtins
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MAX_FUNCTION_LINES = 50  # without its docstring
DUPLICATE_LINES = 10
MIN_SENTENCE_WORDS = 4

#: Words of earlier versions for which there is a standard term, and those that are only literary.
PHRASES = (
    r"in hand",
    r"\banew\b",
    r"(again|failed) of itself\b",
    r"\bcame of\b",
    r"turn(s|ed)? away",
    r"\bheed",
    r"\bduty\b|\bduties\b",
    r"\bstrangers?\b",
    r"\bthe outside\b",
    r"went wrong over",
    r"\blaid down\b|\blays? down\b|laying.down",
    r"\bthe house\b",
    r"\bhand(s|ed)? out\b",
    r"for ever\b",
    r"\bodd;",
    r"\bnaught\b|\bthereby\b|\bhither\b|\bwhosoever\b",
    # British spelling
    r"colour",
    r"(?<!_)\bnormalis",
    r"recognis",
    r"prioritis",
    r"behaviour",
    r"\bcancelled by\b",
)


@cache
def source_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(source_text(path))


def source_files(repository: Path) -> list[Path]:
    """Every text of the project, except the tables of former names."""
    patterns = ("piwheels/**/*.py", "piwheels/**/*.html", "sql/*.sql", "tests/**/*.py", "*.md")
    found = [path for pattern in patterns for path in repository.glob(pattern)]
    found += [path for path in repository.glob("docs/*.md") if path.name != "glossary.md"]
    tables = {Path(__file__), repository / "piwheels" / "cli" / "aliases.py"}
    return sorted(path for path in found if path not in tables)


def product_files(repository: Path) -> list[Path]:
    return sorted((repository / "piwheels").glob("**/*.py"))


def test_texts_use_plain_words(repository: Path) -> None:
    pattern = re.compile("|".join(f"(?:{phrase})" for phrase in PHRASES), re.IGNORECASE)
    found = [
        f"{path.relative_to(repository)}:{number}: {line.strip()}"
        for path in source_files(repository)
        if pattern.search(source_text(path))
        for number, line in enumerate(source_text(path).splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found[:20])


def test_tests_of_pages_wait_for_an_address(repository: Path) -> None:
    """An address changes before the page of that address has run its scripts."""
    found = [
        f"{path.relative_to(repository)}: use wait_for_url"
        for path in sorted((repository / "tests" / "browser").glob("*.py"))
        if re.search(r"assert .*\.url\b", source_text(path))
    ]
    assert not found, "\n".join(found)


def test_names_of_earlier_versions_do_not_return(repository: Path) -> None:
    """`tests/old_names.txt` has the names that docs/glossary.md replaced."""
    text = (repository / "tests" / "old_names.txt").read_text(encoding="utf-8")
    old = {line for line in text.splitlines() if line and not line.startswith("#")}
    candidates = re.compile(rf"\b(?:{'|'.join(map(re.escape, old))})\b")
    paths = product_files(repository) + sorted((repository / "tests").glob("**/*.py"))
    found = [
        f"{path.relative_to(repository)}:{line}: {name}"
        for path in paths
        if candidates.search(source_text(path))  # a tree takes longer than a text
        for name, line in defined_names(syntax_tree(path))
        if name in old
    ]
    assert not found, "\n".join(found)


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno


def test_functions_are_short(repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}:{node.lineno}: {node.name}"
        for path in product_files(repository)
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and count_lines(node) > MAX_FUNCTION_LINES
    ]
    assert not found, "\n".join(found)


def count_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    match function.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as docstring:
            lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def test_no_run_of_lines_is_written_twice(repository: Path) -> None:
    places: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in product_files(repository):
        text = source_text(path)
        imports = import_lines(syntax_tree(path))
        lines = [
            (number, line.strip())
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and number not in imports
        ]
        for start in range(len(lines) - DUPLICATE_LINES + 1):
            run = tuple(line for _, line in lines[start : start + DUPLICATE_LINES])
            places[run].append(f"{path.relative_to(repository)}:{lines[start][0]}")
    found = [" and ".join(where) for where in places.values() if len(where) > 1]
    assert not found, "\n".join(found)


def test_no_sentence_is_written_twice(repository: Path) -> None:
    """What people read (errors, help, events) has one place in the product."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in product_files(repository):
        for sentence, line in sentences(syntax_tree(path)):
            places[sentence].append(f"{path.relative_to(repository)}:{line}")
    found = [f"{text!r}: {' and '.join(at)}" for text, at in places.items() if len(at) > 1]
    assert not found, "\n".join(found)


def sentences(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every text of four or more words, with {} for what is inserted; no docstrings."""
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values
                )
            case ast.Constant(value=str(text)) if id(node) not in parts | docstrings:
                pass
            case _:
                continue
        if len(re.sub(r"\{\}|%s", "", text).split()) >= MIN_SENTENCE_WORDS:
            yield text, node.lineno


def test_docstrings_name_errors_that_exist(repository: Path) -> None:
    trees = {path: syntax_tree(path) for path in product_files(repository)}
    known = set(vars(builtins)) | {
        name for tree in trees.values() for node in ast.walk(tree) for name in available_names(node)
    }
    found = [
        f"{path.relative_to(repository)}: {name}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for block in re.findall(r"Raises:\n((?: {4,}.*\n?)+)", ast.get_docstring(node) or "")
        for names in re.findall(r"^ {4}([A-Z][\w.]*(?:, [A-Z][\w.]*)*):", block, re.MULTILINE)
        for name in names.split(", ")
        if name.rpartition(".")[2] not in known
    ]
    assert not found, "\n".join(found)


def available_names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name for alias in names)
        case ast.Attribute(attr=name):
            yield name


def import_lines(tree: ast.AST) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
