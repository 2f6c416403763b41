"""Decisions of telling people, as plain functions: no clock, no database, no mail server."""
