"""The published language of Zhida.

What services say to one another (``events``), what the edge may ask of the service that owns an
answer (``commands``), and the few words all of them share: actors and roles, division codes,
identifiers, money, errors. This package imports nothing else of ours.
"""
