"""Registry on the real database."""
