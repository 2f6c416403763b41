"""The rooms of the desk, a module each: its addresses, and what they ask and do."""

from services.portal.rooms import (
    account_changes,
    cases,
    developers,
    disbursements,
    front_door,
    households,
    imports,
    intake,
    letters,
    responsibility,
    workbench,
)

ROOMS = (
    front_door.room,
    developers.room,
    workbench.room,
    intake.room,
    cases.room,
    households.room,
    account_changes.room,
    responsibility.room,
    letters.room,
    disbursements.room,
    imports.room,
)
