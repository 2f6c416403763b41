"""Two of each service and three RabbitMQ nodes on one machine, one of each lost under load.

``python -m tests.several`` (``make several``): about two minutes on a quiet machine, ten at most.
"""
