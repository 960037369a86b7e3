"""How long a collective operation takes."""

from dataclasses import dataclass
from math import ceil, log2

from mtl_lightning.communication.exchanges import PASSES, Exchange


@dataclass(frozen=True)
class Link:
    """A connection between two processes.

    Attributes:
        latency: Seconds of a message without content.
        bandwidth: Bytes a second that a process sends.
    """

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Network:
    """Nodes of several processes.

    Attributes:
        within: Between processes of a node.
        between: Between nodes; the bandwidth is that of each process where all of a node send at once.
        per_node: Processes of a node.
    """

    within: Link
    between: Link
    per_node: int = 8

    def seconds(self, exchange: Exchange, num_processes: int) -> float:
        """Of a collective operation: by a ring or, for a sum or a broadcast, by a tree, whichever is faster."""
        if num_processes == 1:
            return 0.0
        ways = [self._ring(exchange, num_processes)]
        if exchange.kind in ("all_reduce", "broadcast"):
            ways.append(self._tree(exchange, num_processes))
        return min(ways)

    def _ring(self, exchange: Exchange, num_processes: int) -> float:
        """Each process passes on a part at a time: (N - 1) rounds, and as few bytes as can be."""
        nodes = ceil(num_processes / self.per_node)
        hops = [self.between] * (nodes if nodes > 1 else 0)
        hops += [self.within] * (num_processes - len(hops))
        round_trip = sum(hop.latency for hop in hops) * (num_processes - 1) / num_processes
        bandwidth = min(hop.bandwidth for hop in hops)
        return PASSES[exchange.kind] * round_trip + exchange.sent(num_processes) / bandwidth

    def _tree(self, exchange: Exchange, num_processes: int) -> float:
        """Each process passes on all: log2 N rounds."""
        nodes = ceil(num_processes / self.per_node)
        inside = ceil(log2(min(num_processes, self.per_node)))
        rounds = inside * self.within.latency + ceil(log2(nodes)) * self.between.latency
        link = self.between if nodes > 1 else self.within
        return PASSES[exchange.kind] * (rounds + exchange.size / link.bandwidth)


H100_NODES = Network(Link(latency=3e-6, bandwidth=360e9), Link(latency=8e-6, bandwidth=42e9), per_node=8)
"""Nodes of eight H100 with NVLink, and a 400 Gb/s adapter for each; 80 to 85 % of what is on their labels."""
