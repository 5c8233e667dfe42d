"""The words that the project avoids, of docs/dev/banned_words.toml, and where they are used.

`python tests/support/naming_words.py [PATH ...]` lists them, in all files or in those whose path begins so;
`--table` prints the table of docs/dev/naming.md.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "docs/dev/banned_words.toml"
FOLDERS = (
    *(
        ".ci",
        ".github",
        "benchmarks",
        "deploy",
        "docs",
        "expectations",
        "feature_repo",
        "models",
        "pipelines",
    ),
    *("platform", "tests"),
)
"""Beside the files at the top."""
SUFFIXES = {
    *(".py", ".md", ".yaml", ".yml", ".toml", ".template", ".ipynb", ".html", ".css", ".js", ".svg", ".json"),
    *(".conf", ".env", ".txt"),
}
NAMES = {"Makefile", ".importlinter", "run", "nightly"}
"""Files without a suffix."""

_BETWEEN_PARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")
_SPACE = re.compile(r" |\\s")
_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])_(?=[a-z])")


class Finding(NamedTuple):
    """A use of a word that is avoided."""

    path: str
    """Relative to the repository, with `/`."""
    line: int
    """From 1; 0 for the file's own name."""
    word: str
    """As it stands there, in lower case."""
    say: tuple[str, ...]

    def __str__(self) -> str:
        say = " or ".join(f'"{one}"' for one in self.say)
        return f'{self.path}:{self.line}: "{self.word}": say {say}'


class Text(NamedTuple):
    """A text in lower case, in the two forms that are searched; lines end at the same places."""

    prose: str
    """With names in lower case in words: `made_at` as `made at`, `NO_ITEM` as `no_item`."""
    parts: str
    """With identifiers in parts: `made_at` and `MadeAt` as `made at`."""

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(_BETWEEN_WORDS.sub(" ", text).lower(), _BETWEEN_PARTS.sub(" ", text).lower())


class Word(NamedTuple):
    """An entry of banned_words.toml, whose head describes the fields."""

    word: str
    pattern: str
    say: tuple[str, ...]
    why: str
    exceptions: tuple[str, ...]

    def search(self, text: Text) -> Iterator[tuple[int, str]]:
        """Yield the line, from 1, and the wording of each use that no exception allows."""
        searched = text.prose if " " in self.pattern else text.parts
        expression = _SPACE.sub(lambda _: r"\s+(?:# )?", rf"\b(?:{self.pattern})\b")
        allowed = [
            place.span()
            for phrase in self.exceptions
            for place in re.finditer(phrase.replace(" ", r"\s+(?:# )?"), searched)
        ]
        for place in re.finditer(expression, searched):
            if not any(start <= place.start() and place.end() <= end for start, end in allowed):
                yield searched.count("\n", 0, place.start()) + 1, re.sub(r"[\s#]+", " ", place.group())


class Vocabulary:
    """The entries of a file such as docs/dev/banned_words.toml."""

    def __init__(self, path: Path = WORDS) -> None:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        self.quoted_in = frozenset(table.get("quoted_in", ()))
        self.words = [
            Word(one["word"], one["pattern"], tuple(one["say"]), one["why"], tuple(one.get("except", ())))
            for one in table["words"]
        ]

    def search(self, path: str, text: str) -> list[Finding]:
        """Find the words in a file's name, as line 0, and in its text.

        Args:
            path: Relative to the repository, with `/`.
            text: The file's content.

        Returns:
            What was found, ascending by line.
        """
        name, content = Text.of(re.sub(r"[/.-]", " ", path)), Text.of(text)
        found = [
            Finding(path, line, wording, word.say)
            for word in self.words
            for line, wording in [*((0, said) for _, said in word.search(name)), *word.search(content)]
        ]
        return sorted(found, key=lambda one: one.line)

    def search_files(self, paths: Iterable[Path], root: Path = ROOT) -> list[Finding]:
        """Search files below `root`, except those that quote the words."""
        found: list[Finding] = []
        for path in paths:
            name = path.relative_to(root).as_posix()
            if name not in self.quoted_in:
                found += self.search(name, path.read_text("utf-8"))
        return found

    def table(self) -> str:
        """Return the Markdown table of docs/dev/naming.md."""
        rows = [f"| {word.word} | {', '.join(word.say)} | {word.why} |" for word in self.words]
        return "\n".join(["| Avoid | Write | Why |", "|---|---|---|", *rows])


def files(root: Path = ROOT) -> list[Path]:
    """Return the text files of the repository, sorted: those at the top and those in FOLDERS."""
    found = [path for path in root.iterdir() if path.is_file()]
    for folder in FOLDERS:
        for place, folders, names in os.walk(root / folder):
            folders[:] = [name for name in folders if not name.startswith((".", "__"))]
            found += [Path(place, name) for name in names]
    return sorted(path for path in found if path.suffix in SUFFIXES or path.name in NAMES)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(Vocabulary().table())
    else:
        wanted = tuple(sys.argv[1:])
        for finding in Vocabulary().search_files(files()):
            if not wanted or finding.path.startswith(wanted):
                print(finding)
