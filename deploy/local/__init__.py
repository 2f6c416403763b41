"""The local stack: a private broker, a private database cluster, and what runs on them.

Owns: the processes it started itself, and nothing else. A system-wide RabbitMQ or PostgreSQL is
never touched; every port is a loopback port.

    from deploy.local import PrivateServers

    with PrivateServers(fast=True) as servers:
        servers.amqp_uri, servers.database_url("registry")
"""

from deploy.local.broker import Broker
from deploy.local.cluster import Cluster
from deploy.local.servers import SERVICES, PrivateServers, Servers
from deploy.local.shared import shared_servers

__all__ = ["SERVICES", "Broker", "Cluster", "PrivateServers", "Servers", "shared_servers"]
