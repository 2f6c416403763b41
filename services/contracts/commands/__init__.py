"""Commands and queries, a module for the service that owns the answer."""
