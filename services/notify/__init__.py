"""notify: who is told.

Owns: templates, messages with their attempts, the letters officers carry, the list of what did not
arrive; its copies of people, staff and their numbers (sealed on the way, encrypted at rest).

Publishes: ``message.undelivered``.

Hears: from registry people, contacts and staff (copies), deaths, changes of payee or account;
from cases acceptance, missing material, publicity, objections, decisions, limits, reviews; from
funding payments, ends of entitlements, recoveries.

Sends: by SMTP to the mail server of ``settings.py``; a phone is addressed through the SMS
gateway's mail form; people without one are told by the hand of their officer.
"""
