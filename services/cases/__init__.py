"""Cases: what was asked, by whom, in what time, and how it was decided.

Owns the service catalogue, applications and their steps, time limits, the working-day calendar,
publicity, reviews and the documents (文书) of a case.
"""
