"""`report`: where a run's report is."""

from __future__ import annotations

import click

from pipeline.errors import ExitCode
from pipeline.terminal import Invocation


@click.command("report")
@click.argument("run", default="")
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@click.pass_obj
def command(invocation: Invocation, run: str, *, show: bool) -> int:
    """Prints the path of the newest run's HTML report, or of the run whose id begins with RUN.

    It is made anew from run.json where it is missing. Touches nothing else.
    """
    from pipeline.run_files import find_run

    files = find_run(invocation.root / ".pipeline", run)
    missing = not files.report.exists()
    if missing:
        files.rebuild()
    document = {
        "command": "report",
        "outcome": "done",
        "exit_code": 0,
        "run_id": files.directory.name,
        "report": str(files.report),
        "rebuilt": missing,
    }
    invocation.terminal.answer(str(files.report), document)
    if show:
        import webbrowser

        if not webbrowser.open(files.report.as_uri()):
            invocation.terminal.tell("no browser could be started here; open the file above")
    return ExitCode.DONE
