"""What people have now: their copied records and the benefits they already receive."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from sqlalchemy import select

from services.chassis.uow import UnitOfWork
from services.contracts.money import Fen
from services.funding.domain import traits
from services.funding.domain.entitlement import Covered
from services.funding.models import CoverageRow, PersonCopy, ShareRow, TermRow


class People:
    """The records of some people and the monthly benefits they hold, read in two queries."""

    def __init__(self, uow: UnitOfWork, person_ids: Iterable[uuid.UUID], *, on: date) -> None:
        ids = list(set(person_ids))
        self._on = on
        self._copies = {
            copy.person_id: copy
            for copy in uow.session.scalars(select(PersonCopy).where(PersonCopy.person_id.in_(ids)))
        }
        self.held_fen: dict[uuid.UUID, dict[str, Fen]] = defaultdict(dict)
        self.holder: dict[tuple[uuid.UUID, str], uuid.UUID] = {}
        for person_id, benefit, entitlement_id, fen in uow.session.execute(
            select(
                CoverageRow.person_id, CoverageRow.benefit, CoverageRow.entitlement_id, ShareRow.fen
            )
            .outerjoin(
                TermRow,
                (TermRow.entitlement_id == CoverageRow.entitlement_id) & TermRow.to_month.is_(None),
            )
            .outerjoin(
                ShareRow,
                (ShareRow.term_id == TermRow.id) & (ShareRow.person_id == CoverageRow.person_id),
            )
            .where(
                CoverageRow.person_id.in_(ids),
                CoverageRow.active,
                ~CoverageRow.one_off,
            )
        ):
            self.add(person_id, benefit, entitlement_id, fen or 0)

    def add(self, person_id: uuid.UUID, benefit: str, entitlement_id: uuid.UUID, fen: Fen) -> None:
        """Take note of a benefit given in the same batch."""
        self.held_fen[person_id][benefit] = fen
        self.holder[person_id, benefit] = entitlement_id

    def drop(self, person_id: uuid.UUID, benefit: str) -> None:
        """Take note of a benefit that ended in the same batch."""
        self.held_fen[person_id].pop(benefit, None)
        self.holder.pop((person_id, benefit), None)

    def held(self, person_ids: Iterable[uuid.UUID]) -> dict[str, frozenset[str]]:
        """The benefits each of some people holds."""
        return {str(person): frozenset(self.held_fen[person]) for person in person_ids}

    def covered(
        self, person_ids: Iterable[uuid.UUID], case_traits: Mapping[str, Iterable[str]]
    ) -> list[Covered]:
        """The people as a working sees them."""
        return [self._one(person_id, case_traits) for person_id in person_ids]

    def known(self, person_ids: Iterable[uuid.UUID]) -> bool:
        """Whether the records of all of them have arrived."""
        return all(
            person_id in self._copies and self._copies[person_id].name is not None
            for person_id in person_ids
        )

    def _one(self, person_id: uuid.UUID, case_traits: Mapping[str, Iterable[str]]) -> Covered:
        copy = self._copies.get(person_id)
        return traits.covered(
            str(person_id),
            name=(copy.name if copy else None) or "",
            birth_date=copy.birth_date if copy else None,
            categories=(copy.categories if copy else None) or (),
            disability=copy.disability if copy else None,
            traits=case_traits.get(str(person_id), ()),
            on=self._on,
            benefits_fen=self.held_fen[person_id],
        )
