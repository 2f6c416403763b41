"""Rules of the domain in plain Python, to hold the set-based SQL to."""
