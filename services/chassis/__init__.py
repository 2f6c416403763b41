"""What every service stands on (a microservice chassis).

``service`` the decorators a service class is written with · ``uow`` one message or request, one
transaction · ``outbox`` and ``relay`` events out · ``consumer`` and ``inbox`` events in ·
``edge`` and ``client`` commands and queries · ``topology`` exchanges and queues · ``crypto``
sealed and encrypted fields · ``actors`` tokens · ``clock`` business time · ``files`` · ``audit`` ·
``metrics``, ``health``, ``logs``, ``tracing`` · ``runner``, ``child``, ``migrate`` processes.
"""

import warnings

# nameko 2 stands on eventlet (docs/adr/0001); each process and child would say so in its log
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
