"""The trial run: Zhida on a cluster, the main job through it, each service rolled under load.

``stage``, ``play``, ``load`` and ``check`` run in the pod ``outside`` of ``overlays/dev``;
``run`` directs them from the machine (``make k8s``).
"""
