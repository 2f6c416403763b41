"""What auditors found about payments and cannot happen here, across registry, cases and funding."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest

from services.chassis import files
from services.contracts.actors import Actor
from services.contracts.commands import funding as m
from services.contracts.commands.registry import HouseholdView, RecordDeath
from services.contracts.events.cases import ReviewOpened
from services.contracts.events.funding import EntitlementEnded, PaymentSettled, RecoveryRaised
from tests.builders.city import City
from tests.e2e.test_acceptance import Staff, carry_over, household

MONTH, FEN = "2026-11", 100_000
NAMES = (("向长河", "19500305"), ("汪水生", "19510206"), ("涂家旺", "19520107"))


@pytest.fixture
def families(city: City, staff: Staff) -> list[HouseholdView]:
    """Three people on 特困 from the roster, 1,000 yuan a month each; budget and cash for all."""
    made = []
    for name, born in NAMES:
        family = household(city, staff, head=name, born=born)
        carry_over(city, family, "tekun")
        made.append(family)
    finance = staff["finance"]
    city.ask(
        finance,
        m.AllotBudget(year=2026, benefit="tekun", fen=10_000_000, document_no="洪财〔2026〕1号"),
    )
    city.ask(finance, m.DepositFunds(fen=10_000_000, document_no="洪财库〔2026〕1号"))
    city.today = date(2026, 11, 10)
    return made


def computed(city: City, staff: Staff) -> m.BatchView:
    """The month opened, computed and checked."""
    clerk = staff["funding_clerk"]
    city.ask(clerk, m.OpenBatch(month=MONTH))
    city.ask(clerk, m.ComputeBatch(batch=MONTH))
    return city.ask(clerk, m.CheckBatch(batch=MONTH))


def signed(city: City, staff: Staff, total_fen: int, month: str = MONTH) -> None:
    """Both signatures."""
    city.ask(staff["auditor"], m.SignBatch(batch=month, seat="review", total_fen=total_fen))
    city.ask(
        staff["finance"],
        m.SignBatch(
            batch=month, seat="release", total_fen=total_fen, document_no="洪财社〔2026〕11号"
        ),
    )


def locked(city: City, staff: Staff) -> m.BatchView:
    """Signed and locked."""
    signed(city, staff, computed(city, staff).computed_fen)
    return city.ask(staff["funding_clerk"], m.LockBatch(batch=MONTH))


def exported(city: City, clerk: Actor, month: str = MONTH) -> bytes:
    """The bank file's bytes."""
    view = city.ask(clerk, m.ExportBatch(batch=month))
    assert view.file_id is not None
    with city.begin("funding", clerk) as uow:
        return files.read(uow, view.file_id)


def answered(city: City, clerk: Actor, bank_file: bytes, folder: Path) -> UUID:
    """The bank's answer to a file, handed in: every line credited."""
    sent, back = folder / "bank.xlsx", folder / "return.xlsx"
    sent.write_bytes(bank_file)
    subprocess.run(
        [sys.executable, "-m", "deploy.local.bank_simulator", str(sent), str(back),
         "--fail-one-in", "0"],
        check=True,
    )  # fmt: skip
    with city.begin("funding", clerk) as uow:
        return files.write(uow, back.name, back.read_bytes(), "x", division="421083")


def dies(city: City, staff: Staff, family: HouseholdView, on: date) -> UUID:
    """A death reported at the window."""
    person = family.members[0].person_id
    city.ask(staff["clerk"], RecordDeath(person_id=person, died_on=on, evidence="殡葬证明"))
    city.settle(again=True)
    return person


@pytest.mark.parametrize("state", ["computed", "signed", "locked"])
def test_2_a_death_before_the_file_leaves_drops_out_of_the_batch(
    city: City, staff: Staff, families: list[HouseholdView], state: str, tmp_path: Path
) -> None:
    """(2): whatever state the batch is in; the review is opened and the money stops."""
    clerk = staff["funding_clerk"]
    before = computed(city, staff) if state == "computed" else None
    if state == "signed":
        signed(city, staff, computed(city, staff).computed_fen)
    if state == "locked":
        locked(city, staff)
    dead = dies(city, staff, families[0], date(2026, 10, 20))
    if before is not None:
        signed(city, staff, city.ask(clerk, m.CheckBatch(batch=MONTH)).computed_fen)
    if state != "locked":
        city.ask(clerk, m.LockBatch(batch=MONTH))
    content = exported(city, clerk)
    view = city.ask(clerk, m.ShowBatch(batch=MONTH))
    assert (view.file_lines, view.file_fen) == (2, 2 * FEN)
    city.ask(clerk, m.SettleBatch(batch=MONTH, file_id=answered(city, clerk, content, tmp_path)))
    assert {event.payee_person_id for event in city.said(PaymentSettled)} == {
        family.members[0].person_id for family in families[1:]
    }
    assert [event.person_id for event in city.said(ReviewOpened)] == [dead]
    assert [event.person_ids for event in city.said(EntitlementEnded)] == [(dead,)]
    sums = city.ask(clerk, m.ShowBatch(batch=MONTH)).sums
    assert sums is not None
    assert sums.agree


def test_2_what_was_paid_after_death_is_listed_for_recovery(
    city: City, staff: Staff, families: list[HouseholdView], tmp_path: Path
) -> None:
    """(2): November is paid, an October death is told in December: November comes back."""
    clerk = staff["funding_clerk"]
    locked(city, staff)
    content = exported(city, clerk)
    city.ask(clerk, m.SettleBatch(batch=MONTH, file_id=answered(city, clerk, content, tmp_path)))
    city.today = date(2026, 12, 3)
    dead = dies(city, staff, families[0], date(2026, 10, 20))
    (raised,) = city.said(RecoveryRaised)
    assert (raised.person_id, raised.amount_fen) == (dead, FEN)
    (listed,) = city.ask(clerk, m.ListRecoveries(only_open=True))
    assert (listed.month, listed.open_fen) == (MONTH, FEN)
    assert len(city.said(ReviewOpened)) == 1


def test_5_and_7_done_twice_it_pays_once_and_all_sums_agree(
    city: City, staff: Staff, families: list[HouseholdView], tmp_path: Path
) -> None:
    """(5), (7): computed, locked, sent and answered twice: one payment each, sums to the fen."""
    clerk = staff["funding_clerk"]
    computed(city, staff)
    city.ask(clerk, m.ComputeBatch(batch=MONTH))
    checked = city.ask(clerk, m.CheckBatch(batch=MONTH))
    assert (checked.people, checked.computed_fen) == (3, 3 * FEN)
    signed(city, staff, checked.computed_fen)
    city.ask(clerk, m.LockBatch(batch=MONTH))
    content = exported(city, clerk)
    assert exported(city, clerk) == content, "the same file, byte for byte"
    answer = answered(city, clerk, content, tmp_path)
    first = city.ask(clerk, m.SettleBatch(batch=MONTH, file_id=answer))
    again = city.ask(clerk, m.SettleBatch(batch=MONTH, file_id=answer))
    assert (first.settled, first.settled_fen) == (3, 3 * FEN)
    assert again.already_read
    assert len(city.said(PaymentSettled)) == 3
    done = city.ask(clerk, m.ShowBatch(batch=MONTH))
    assert done.sums is not None
    assert done.sums.agree
    assert {
        done.approved_fen,
        done.file_fen,
        done.sums.lock_transfers_less_withdrawals,
        done.sums.settled,
        sum(event.amount_fen for event in city.said(PaymentSettled)),
    } == {len(families) * FEN}
