"""The rooms of the desk, a module each: its addresses, and what they ask and do."""

from services.portal.rooms import front_door

ROOMS = (front_door.room,)
