"""A change of payee or account: two persons, and the money side hears when it took effect."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.chassis.crypto import Seals
from services.chassis.uow import Foundation
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    ConfirmAccountChange,
    ListAccountChanges,
    RequestAccountChange,
    RequestPayeeChange,
)
from services.contracts.errors import Conflict, Forbidden, Invalid, NotFound
from services.contracts.ids import new_id
from services.registry import account_changes, queries
from services.registry.models import Household, Person
from tests.fixtures.services import actor, emitted
from tests.integration.registry.conftest import (
    CLERK,
    ELSEWHERE,
    NEIGHBOUR,
    REVIEWER,
    Act,
    member,
    register,
)

NEW = "6217990000000000001"


def ask(uow: object, person_id: object, number: str = NEW) -> account_changes.AccountChangeView:
    """A clerk asks for a new account."""
    return account_changes.request_account(
        uow,  # type: ignore[arg-type]
        RequestAccountChange(
            person_id=person_id,  # type: ignore[arg-type]
            account_name="单桂兰",
            account_number=number,
            reason="社保卡换卡",
        ),
    )


def test_nothing_changes_before_the_second_person(act: Act) -> None:
    """A request alone moves no money: the old account stands and nobody is told."""
    with act(CLERK) as uow:
        _, head = register(uow)
        before = len(emitted(uow))
        view = ask(uow, head)
        assert view.account_masked == "*" * 15 + "0001"
        assert len(emitted(uow)) == before
        assert queries.opened(uow, uow.session.get_one(Person, head), "account_number") != NEW


def test_the_second_person_makes_it_so(act: Act, foundation: Foundation) -> None:
    """Funding gets the account sealed and the moment it changed; the old number is to be told."""
    with act(CLERK) as uow:
        _, head = register(uow)
        change = ask(uow, head)
    with act(REVIEWER) as uow:
        view = account_changes.confirm(uow, ConfirmAccountChange(change_id=change.change_id))
        changed = [b for name, b in emitted(uow) if name == "person.account_changed.v1"][-1]
        confirmed = [b for name, b in emitted(uow) if name == "account.change_confirmed.v1"]
        now = uow.now()
    assert (view.state, view.requested_by, view.decided_by) == (
        "confirmed",
        CLERK.name,
        REVIEWER.name,
    )
    assert (changed["version"], changed["carried_over"]) == (2, False)
    assert str(changed["changed_at"])[:10] == now.date().isoformat()
    funding = Seals("funding", foundation.settings.transit_keys)
    assert funding.open("registry", str(changed["account_number"])) == NEW
    assert [(c["person_id"], c["what"]) for c in confirmed] == [(str(head), "account")]


def test_nobody_confirms_their_own(act: Act) -> None:
    """One person alone cannot redirect a payment."""
    with act(CLERK) as uow:
        _, head = register(uow)
        change = ask(uow, head)
        with pytest.raises(Forbidden) as caught:
            account_changes.confirm(uow, ConfirmAccountChange(change_id=change.change_id))
    assert caught.value.reason == "two_persons"


def test_the_database_insists_on_two_persons(act: Act) -> None:
    """Whatever the code does, the row cannot say otherwise."""
    with act(CLERK) as uow:
        _, head = register(uow)
        ask(uow, head)
    alone = text("UPDATE account_change SET state = 'confirmed', decided_by = requested_by")
    with pytest.raises(IntegrityError, match="two_persons"), act(CLERK) as uow:
        uow.session.execute(alone)


def test_a_payee_is_changed_by_two(act: Act) -> None:
    """The household's money goes to another living member."""
    with act(CLERK) as uow:
        household, _, spouse = register(uow, member(1), member(2, "配偶", name="李国强"))
        change = account_changes.request_payee(
            uow, RequestPayeeChange(household_id=household, person_id=spouse, reason="户主外出")
        )
    with act(REVIEWER) as uow:
        account_changes.confirm(uow, ConfirmAccountChange(change_id=change.change_id))
        last = [b for name, b in emitted(uow) if name == "household.recorded.v1"][-1]
        assert uow.session.get_one(Household, household).payee_person_id == spouse
    assert (last["payee_person_id"], last["version"]) == (str(spouse), 2)
    assert last["payee_changed_at"] is not None


def test_a_payee_is_of_the_household(act: Act) -> None:
    """No one else may hold the card."""
    with act(CLERK) as uow:
        household, _ = register(uow)
        _, stranger = register(uow, member(2, name="李国强"))
        with pytest.raises(Invalid, match="本户成员"):
            account_changes.request_payee(
                uow, RequestPayeeChange(household_id=household, person_id=stranger, reason="x")
            )


def test_a_refusal_has_a_reason_and_changes_nothing(act: Act) -> None:
    """Refused is final; the person may be asked for anew."""
    with act(CLERK) as uow:
        _, head = register(uow)
        change = ask(uow, head)
    with act(REVIEWER) as uow:
        with pytest.raises(Invalid, match="写明原因"):
            account_changes.confirm(
                uow, ConfirmAccountChange(change_id=change.change_id, confirm=False)
            )
        refused = ConfirmAccountChange(change_id=change.change_id, confirm=False, reason="户名不符")
        assert account_changes.confirm(uow, refused).state == "refused"
        with pytest.raises(Conflict, match="已经处理"):
            account_changes.confirm(uow, ConfirmAccountChange(change_id=change.change_id))
    with act(CLERK) as uow:
        assert ask(uow, head).state == "requested"


def test_one_open_request_at_a_time(act: Act) -> None:
    """Two requests at once would let the second be confirmed for the first."""
    with act(CLERK) as uow:
        _, head = register(uow)
        ask(uow, head)
        with pytest.raises(Conflict, match="待确认"):
            ask(uow, head, "6217990000000000002")
        assert len(account_changes.list_changes(uow, ListAccountChanges())) == 1


def test_other_towns_have_no_say(act: Act) -> None:
    """Neither ask, nor confirm, nor see."""
    with act(CLERK) as uow:
        _, head = register(uow)
        change = ask(uow, head)
    with act(ELSEWHERE) as uow:
        with pytest.raises(Forbidden):
            ask(uow, head)
        with pytest.raises(Forbidden):
            account_changes.confirm(uow, ConfirmAccountChange(change_id=change.change_id))
        with pytest.raises(NotFound):
            account_changes.confirm(uow, ConfirmAccountChange(change_id=new_id()))
        assert account_changes.list_changes(uow, ListAccountChanges()) == []


def test_a_page_is_filled_from_what_one_may_see(act: Act) -> None:
    """Older requests of other villages do not push one's own off the page."""
    neighbours = actor(Role.VILLAGE_OFFICER, divisions=(NEIGHBOUR,))
    with act(CLERK) as uow:
        ask(uow, register(uow)[1])
        own = ask(uow, register(uow, member(2), village=NEIGHBOUR)[1])
    with act(neighbours) as uow:
        (seen,) = account_changes.list_changes(uow, ListAccountChanges(limit=1))
        assert seen.change_id == own.change_id


@pytest.mark.parametrize("number", ["", "12", "abc"])
def test_an_account_that_is_none_is_refused(act: Act, number: str) -> None:
    """Digits, eight to thirty-two."""
    with act(CLERK) as uow:
        _, head = register(uow)
        with pytest.raises(Invalid) as caught:
            ask(uow, head, number)
    assert caught.value.field == "account_number"
