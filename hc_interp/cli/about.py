"""The commands `models`, `tasks`, `doctor` and `schema`: what the package offers, and whether it works here."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

import hc_interp as hc
from hc_interp.cli.config import schema as schema_of
from hc_interp.cli.doctor import examine
from hc_interp.cli.shell import COMMANDS, command
from hc_interp.cli.show import Shown
from hc_interp.cli.workers import TABLES
from hc_interp.data.tables import PROMPT_TASKS, TASK_TABLES, TASKS
from hc_interp.experiment.settings import PIECES
from hc_interp.models.zoo_cards import SERIES, WHOLE, ZOO

LEDGER = "pieces.json"  # `records/ledger.py` says what is in it
ABOUT = "What the package offers"


@command("models", panel=ABOUT)
def models() -> Shown:
    """List the zoo: models, which --model takes as zoo:NAME, and series of checkpoints, of which it takes a step."""
    single = {**ZOO, **WHOLE}
    rows = [{"name": f"zoo:{name}", "description": entry.description} for name, entry in single.items()]
    series = [{"name": f"zoo:{name}", "description": entry.description} for name, entry in SERIES.items()]
    lines = [f"{row['name']:<20}  {row['description']}" for row in (*rows, *series)]
    lines += ["", "A series: --series zoo:NAME; one of its checkpoints: --model zoo:NAME@STEP."]
    return Shown({"models": rows, "series": series}, "\n".join(lines))


@command("tasks", panel=ABOUT)
def tasks(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="TOML files of tasks of your own: their splits, cases and pairs are listed instead."),
    ] = None,
) -> Shown:
    """List the tasks, the files that each reads from --data-dir, and the cases with contrast pairs (for --case)."""
    if files:
        return _own_tasks(files)
    return _package_tasks()


def _package_tasks() -> Shown:
    files = {name: {f"{t.file}.parquet": list(t.columns) for t in TASK_TABLES[name]} for name in TASKS}
    cases = {case: list(hc.pair_rules.pair_kinds(case)) for case in hc.grammar.CASES}
    prompts = {name: {case: list(kinds) for case, kinds in of.items()} for name, of in PROMPT_TASKS.items()}
    lines = []
    for name, description in TASKS.items():
        lines += [name, f"  {description}"]
        lines += [f"  {file}: {', '.join(columns)}" for file, columns in files[name].items()]
    lines += ["", "Cases with contrast pairs, and the kinds of pairs (mnli-hans and overlap-grammar):"]
    lines += [f"  {case:<48} {', '.join(kinds)}" for case, kinds in cases.items()]
    for name, kinds_of in prompts.items():
        lines += [f"  {case:<48} {', '.join(kinds)} ({name})" for case, kinds in kinds_of.items()]
    rows = [{"name": name, "description": text, "files": files[name]} for name, text in TASKS.items()]
    return Shown({"tasks": rows, "cases": cases, "prompts": prompts}, "\n".join(lines))


def _own_tasks(paths: list[Path]) -> Shown:
    """What is in tasks of one's own, after all checks of their files."""
    rows, lines = [], []
    for task in [hc.load_task(path) for path in paths]:
        lines.append(repr(task))
        cases = {}
        for case, part in (task.cases or {}).items():
            name, right, kinds = task.heuristic_of(case), (task.heuristic or {}).get(case), list(task.pair_kinds(case))
            cases[case] = {"examples": len(part), "heuristic": name, "heuristic_is_right": right, "kinds": kinds}
            about = f"; {name} is {'right' if right else 'wrong'} there" if name else ""
            lines.append(f"  {case:<24} {len(part)} examples{about}; pairs: {', '.join(kinds) or 'none'}")
        rows.append({"name": task.name, "cases": cases})
    return Shown({"tasks": rows}, "\n".join(lines))


@command("doctor", panel=ABOUT)
def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="Folder in which the tasks' data files are looked for.")] = None,
) -> Shown:
    """Check versions, backends, GPU, browser, TeX and data on this machine, and say how to repair what fails.

    The exit code is 1 if the package does not work here.
    """
    checks = examine(data_dir)
    table = Table.grid(padding=(0, 1))
    for check in checks:
        colour, word = {"good": ("green", "good"), "limited": ("yellow", "limited"), "bad": ("red", "bad")}[check.state]
        table.add_row(f"[{colour}]{word}[/{colour}]", check.name, escape(check.found))
        if check.mend:
            table.add_row("", "", f"[bold]{escape(check.mend)}[/bold]")
    record = {"checks": [vars(check) for check in checks]}
    return Shown(record, table, code=int(any(check.state == "bad" for check in checks)))


@command("status", panel=ABOUT)
def status(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of pieces: that of --resume, or that of a run with --on.")
    ],
) -> Shown:
    """Show how far the pieces are that workers make in a folder (--on), and who makes which (hc.spread.status)."""
    stages = [sorted(path.parent for path in folder.glob(f"{PIECES}/*/{LEDGER}")) or [folder] for folder in folders]
    found = {str(path): hc.spread.status(path) for part in stages for path in part}
    text = "\n".join(f"{path}: {part}" for path, part in found.items())
    return Shown({path: part.record for path, part in found.items()}, text)


@command("schema", panel=ABOUT)
def schema() -> Shown:
    """Print the JSON Schema of configuration files (--config), for editors: every setting of every command."""
    record = schema_of(COMMANDS, TABLES)
    return Shown(record, json.dumps(record, indent=1))
