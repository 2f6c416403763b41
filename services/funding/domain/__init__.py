"""The decisions about money: plain Python, no session, no clock, no I/O."""
