"""Pure decisions of the registry: no database, no clock, no messages."""
