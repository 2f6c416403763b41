"""The decisions of the law on cases, as pure functions: no clock, no session, no I/O."""
