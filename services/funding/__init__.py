"""Funding 资金: what is paid, from which policy, on whose signatures, and what the bank said.

Owns      dated policies and exclusion rules, entitlements with their working, dues, monthly
          cycles and one-off batches, the ledger of transfers, budget lines, cash and town reserves
          (备用金), bank files, return files, the stop list and the recovery list.
Publishes entitlement.quoted, entitlement.granted, entitlement.refused, entitlement.ended,
          entitlement.closed (without the reason, for other bureaus),
          cycle.locked, cycle.settled, payment.settled, payment.failed, import.locked,
          import.released, recovery.raised.
Hears     from registry person.recorded, household.recorded, person.account_changed,
          staff.appointed (copies), person.died, person.death_revoked, roster_import.undo_asked;
          from cases assessment.requested and case.decided.
"""
