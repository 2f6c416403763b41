"""Chaos: a whole city at work, hurt on purpose, and every promise read from its databases.

    python -m tests.chaos                      every row, one seed (``make chaos``)
    python -m tests.chaos --short              the seven rows that stand in ``make test``
    python -m tests.chaos --rows 2,3 --seed 7  two rows, and the dice thrown again

Where to look:

``stage``       the city: private servers, the four services as processes that are started again
                when they die, a wire of ours between them and every server
``wire``        that wire: it can be cut, silenced, and swallow answers
``failpoints``  what each service runs in: it dies, fails or dawdles at a named step when ordered
``load``        people at work meanwhile: a window, a bureau, and the month's payments
``faults``      the rows of the matrix: what is hurt, for how long, what must be said about it
``invariants``  the seven promises, read from the databases, the archives and the bank's files
``report``      the table and ``.zhida/chaos.json``
"""
