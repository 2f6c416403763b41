"""Rosters in: checked first, then all or nothing; taken back whole until the first lock.

Reading and writing run in a child process. The whole import is one transaction: officers,
households, people, their numbers under lock and key, responsibility, benefits already granted, and
every event of them.

``importing`` checks and writes, ``undoing`` takes back, ``imports`` tells what there has been.
"""

from services.registry.roster_import.importing import check, write
from services.registry.roster_import.imports import list_imports, on_locked
from services.registry.roster_import.undoing import ask_undo, on_released

__all__ = ["ask_undo", "check", "list_imports", "on_locked", "on_released", "write"]
