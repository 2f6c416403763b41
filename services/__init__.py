"""Zhida: four services, the chassis they stand on, the portal and the command line."""

__version__ = "0.1.0"
