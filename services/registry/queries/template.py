"""The columns a roster should have, for the template and its help."""

from __future__ import annotations

from services.contracts.commands.registry import ExpectedColumn
from services.registry.domain.roster import OPTIONAL, SYNONYMS, TITLES


def roster_columns() -> list[ExpectedColumn]:
    """The columns of a roster, for the template and its help."""
    return [
        ExpectedColumn(title=title, synonyms=SYNONYMS[column], required=column not in OPTIONAL)
        for column, title in enumerate(TITLES)
    ]
