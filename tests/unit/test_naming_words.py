"""Code and documentation use the field's words: none of docs/dev/banned_words.toml is in them."""

from __future__ import annotations

import pytest

from support.naming_words import ROOT, Vocabulary, files

PAGE = ROOT / "docs/dev/naming.md"


TEXTS: dict[str, tuple[str, list[str]]] = {
    "a word": ("What it was told.", ["told"]),
    "a part in snake case": ("def land_told_events(): ...", ["told"]),
    "a part in camel case": ("class LawBroken(Error): ...", ["law"]),
    "a capitalized constant": ("PATIENCE_SECONDS = 3", ["patience"]),
    "an ending": ("judged, judging and judgement", ["judged", "judging", "judgement"]),
    "two words": ("It goes on.", ["goes on"]),
    "two words in a name": ("def test_it_goes_on(): ...", ["goes on"]),
    "two words across lines": ("It waits for\n    ever.", ["for ever"]),
    "two words across lines of a comment": ("# It waits for\n# ever.", ["for ever"]),
    "an inverted no": ("x is no number", ["is no number"]),
    "an article for per": ("float[n], one row a user", ["one row a user"]),
    "a part of another word": ("recommended, amended, untaught", []),
    "there is no": ("Where there\nis no file, and there are no users", []),
    "no longer": ("It is no longer here.", []),
    "a constant after is": ("if item is NO_ITEM: ...", []),
    "a library's own method": ("self._study.tell(number)", []),
    "a law of mathematics": ("the laws of large numbers", []),
    "a verb": ("It tells the model.", ["tells"]),
    "things that are alike": ("They can't tell these two apart.", []),
    "a point in time": ("At this moment", ["moment"]),
    "a moment of statistics": ("their second moments agree", []),
    "punctuation": ("quotation marks", []),
    "once a day": ("one request a day", []),
}
"""What is searched, and the words that are found in it."""


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary()


@pytest.mark.slow
def test_no_banned_word_is_used(vocabulary: Vocabulary) -> None:
    found = [str(one) for one in vocabulary.search_files(files())]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS)
def test_which_words_are_found(vocabulary: Vocabulary, text: str, words: list[str]) -> None:
    assert [one.word for one in vocabulary.search("a/b.py", text)] == words


def test_message_names_file_line_and_replacement(vocabulary: Vocabulary) -> None:
    found = vocabulary.search("a/b.py", "fine\n\nnobody\n")
    assert [str(one) for one in found] == ['a/b.py:3: "nobody": say "no user" or "no caller" or "no process"']


def test_file_names_count(vocabulary: Vocabulary) -> None:
    assert [(one.line, one.word) for one in vocabulary.search("docs/0011-doors.md", "")] == [(0, "doors")]
    assert [one.word for one in vocabulary.search("pipelines/assets/judgement.py", "")] == ["judgement"]


def test_all_kinds_of_files_are_read() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in files()}
    wanted = {
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "docs/how-to/serving.md"),
        *("docs/decisions/0040-packages-in-layers.md", "docs/tutorial/quickstart.ipynb"),
        *(
            "models/ranker/README.md",
            "models/ranker/tastemaker_ranker/ranker.py",
            "feature_repo/repository.py",
        ),
        *(
            "platform/tastemaker/plugins/recommender.py",
            "platform/tastemaker/plugins/templates/model.py.template",
        ),
        *("pipelines/tastemaker_pipelines/definitions.py", "tests/unit/test_naming_words.py"),
        *("expectations/tastemaker_expectations/gate.py", "benchmarks/serving.py"),
        *("Makefile", ".importlinter", ".ci/run", "platform/tastemaker/dashboard/static/dashboard.js"),
        *("deploy/grafana/service.json", "docs/images/automation.svg"),
    }
    assert wanted <= names
    assert not any(".venv" in name or "__pycache__" in name for name in names)


def test_naming_page_shows_the_list(vocabulary: Vocabulary) -> None:
    shown = PAGE.read_text("utf-8").split("<!-- banned words -->")
    assert len(shown) == 3
    assert shown[1].strip() == vocabulary.table(), "python tests/support/naming_words.py --table prints it"
