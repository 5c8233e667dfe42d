"""`tastemaker frame`: write the problem file, or show its mathematical formulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tastemaker.errors import ProblemError

if TYPE_CHECKING:
    from tastemaker.framing.questions import Question


@click.command()
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The problem file.  [default: the `problem` setting, problem.yaml]",
)
@click.option("--defaults", is_flag=True, help="Ask nothing; use the default where --set gives no answer.")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="KEY=ANSWER",
    help="Answer a question beforehand; may be given more than once.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--show", is_flag=True, help="Print the formulation of the file, as Unicode mathematics.")
@click.option("--markdown", is_flag=True, help="With --show: as Markdown with LaTeX.")
@click.option(
    "--json", "as_json", is_flag=True, help="With --show: the problem with all its defaults, as JSON."
)
def frame(
    file: Path | None,
    defaults: bool,
    given: tuple[str, ...],
    force: bool,
    show: bool,
    markdown: bool,
    as_json: bool,
) -> None:
    """Write the problem file, or show its formulation.

    \b
    Examples:
      tastemaker frame                                    ask, then write problem.yaml
      tastemaker frame --set k=5 --set repeats=no         ask only the remaining questions
      tastemaker frame --defaults --set event_type=click  ask nothing; use the defaults
      tastemaker frame --show                             objective, reward, constraints, estimator
      tastemaker frame --show --markdown > problem.md     the same in LaTeX
    """
    if (markdown or as_json) and not show:
        raise click.UsageError("--markdown and --json need --show; add --show")
    if markdown and as_json:
        raise click.UsageError("--markdown and --json can't be combined; give one of them")
    if show and (defaults or given or force):
        raise click.UsageError(
            "--show only reads the file: it can't be combined with --defaults, --set or --force"
        )
    path = file or _default_path()
    if show:
        click.echo(_shown(path, markdown, as_json), nl=False)
    else:
        _write(path, defaults, given, force)


def _default_path() -> Path:
    from tastemaker.settings import load_settings

    return load_settings().problem


def _shown(path: Path, markdown: bool, as_json: bool) -> str:
    from tastemaker.framing.rendering import to_markdown, to_text
    from tastemaker.problem import load_problem

    spec = load_problem(path)
    if as_json:
        return spec.model_dump_json(indent=2) + "\n"
    return to_markdown(spec) if markdown else to_text(spec)


def _write(path: Path, defaults: bool, given: tuple[str, ...], force: bool) -> None:
    from tastemaker.framing.answers import to_problem
    from tastemaker.framing.questions import QUESTIONS
    from tastemaker.problem.writing import refuse_existing, write_problem

    if not force:
        refuse_existing(path)
    answers = _given(given)
    asked = [one for one in QUESTIONS if one.key not in answers]
    for number, one in enumerate(asked, start=1):
        if not defaults and one.applies(answers):
            answers[one.key] = _ask(one, f"{number} of {len(asked)}", answers)
    write_problem(to_problem(answers), path, overwrite=force)
    click.echo(f"wrote {path}")
    click.echo(f"next: tastemaker frame --show --file {click.format_filename(path)}")


def _given(given: tuple[str, ...]) -> dict[str, Any]:
    """Return the answers given by --set."""
    from tastemaker.framing.answers import parse, question, to_problem

    answers: dict[str, Any] = {}
    for pair in given:
        key, equals, answer = pair.partition("=")
        if not equals:
            raise ProblemError(f"--set {pair} has no answer", fix="write --set KEY=ANSWER, such as --set k=5")
        answers[key] = parse(question(key), answer)
    to_problem(answers)
    return answers


def _ask(one: Question, place: str, answers: dict[str, Any]) -> Any:
    """Ask until the answer is valid."""
    from tastemaker.framing.answers import accept
    from tastemaker.framing.questions import shown

    click.echo(f"\n{place}  {click.style(one.ask, bold=True)}")
    click.echo(f"  {one.reason}")
    if one.choices:
        click.echo(f"  One of: {', '.join(one.choices)}")
    while True:
        answer = click.prompt("  answer", default=shown(one.default), type=str)
        try:
            return accept(one, answer, answers)
        except ProblemError as error:
            click.echo(f"  {error.problem}")
