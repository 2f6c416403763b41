"""The roster (花名册): one row per person and benefit, checked before anything is written.

``check`` reads rows as they stand in the workbook and answers with what they say (people,
households, benefits already granted) and with every problem by row and column. It is plain loops
over plain values, because a city's roster has 110,000 rows and the clerk waits.

A row is read by itself (``rows``, with ``values`` and ``places`` for its cells), put to the others
of its person and household (``households``, ``claims``); when all are in, each household's claims
become grants (``grants``) and are held beside policy (``policy``).
"""

from services.registry.domain.roster.cells import Cell, cell_text
from services.registry.domain.roster.checking import check
from services.registry.domain.roster.columns import OPTIONAL, SYNONYMS, TITLES
from services.registry.domain.roster.contents import Grant, Household, Person, Roster
from services.registry.domain.roster.header import find_header
from services.registry.domain.roster.policy import Figures
from services.registry.domain.roster.problems import Problem
from services.registry.domain.roster.values import is_account, is_name, is_phone

__all__ = [
    "OPTIONAL",
    "SYNONYMS",
    "TITLES",
    "Cell",
    "Figures",
    "Grant",
    "Household",
    "Person",
    "Problem",
    "Roster",
    "cell_text",
    "check",
    "find_header",
    "is_account",
    "is_name",
    "is_phone",
]
