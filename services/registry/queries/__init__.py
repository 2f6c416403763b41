"""Reads for the edge: people, households, ledgers, counts. Numbers show their last four only."""

from services.registry.queries.figures import figures
from services.registry.queries.history import list_changes
from services.registry.queries.households import list_households, read_household
from services.registry.queries.people import (
    count_people,
    find_by_identity,
    list_people,
    read_person,
    reveal,
    search,
)
from services.registry.queries.template import roster_columns
from services.registry.queries.views import household_of, household_view, opened, person_view

__all__ = [
    "count_people",
    "figures",
    "find_by_identity",
    "household_of",
    "household_view",
    "list_changes",
    "list_households",
    "list_people",
    "opened",
    "person_view",
    "read_household",
    "read_person",
    "reveal",
    "roster_columns",
    "search",
]
