"""The `zhida` command: everything a person or a script does to Zhida from a shell.

A module here is a group of commands: it declares `group = typer.Typer(name="registry", help=…)`
(or, for commands at the top, a Typer without a name) and is found by itself. A command takes
`as_json: Json = False`, asks with `call(request)` and ends with `present(answer, as_json, …)`.

Exit codes: 0 done; 2 refused, with a reason to act on, and nothing changed; 1 a fault.
"""

from services.cli.app import main

__all__ = ["main"]
