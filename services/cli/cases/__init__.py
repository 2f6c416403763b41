"""`zhida cases`: applications from the window to the decision."""

import typer

from services.cli.cases import decision, inquiry, looking, window

group = typer.Typer(name="cases", help="案件：受理、调查、公示、决定、文书", no_args_is_help=True)
for part in (looking, window, inquiry, decision):
    group.add_typer(part.commands)
