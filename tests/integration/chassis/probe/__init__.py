"""A small service that stands on the chassis, to test the chassis by itself."""
