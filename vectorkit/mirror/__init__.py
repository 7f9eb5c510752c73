"""Two stores kept equal while an application runs: the switch from one to the other without downtime."""

from vectorkit.mirror._backend import MirrorBackend
from vectorkit.mirror._sampling import Latency, MirrorReport

__all__ = ["Latency", "MirrorBackend", "MirrorReport"]
