"""Cases: what was asked, by whom, in what time, and how it was decided.

Owns the service catalogue, applications with their facts and limits, the working calendar, notices
(公示), reviews (复核) and the documents (文书) of a case.

Publishes ``case.accepted`` and ``case.closed`` to the bureaus; to our own services
``case.material_requested``, ``assessment.requested``, ``case.publicity_opened``, ``case.objected``,
``case.deadline_extended``, ``case.deadline_neared``, ``case.decided`` (the one door into funding)
and ``case.review_opened``.

Hears from registry divisions, staff, people and households (copies), benefits carried over, imports
undone, deaths and their revocation; from funding quotes, entitlements granted, ended and refused,
and locked months.
"""
