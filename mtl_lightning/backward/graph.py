"""Walks through the graphs that autograd keeps of losses."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge


def node_of(tensor: Tensor) -> Node | None:
    """Where a tensor's gradient is computed; nothing for one that needs none."""
    return get_gradient_edge(tensor).node if tensor.requires_grad else None


def nodes(roots: Iterable[Tensor]) -> Iterator[Node]:
    """All nodes of the graphs, each once, deep ones early: who looks for a parameter finds one soon."""
    waiting = [node for root in roots if (node := node_of(root)) is not None]
    seen = set(waiting)
    while waiting:
        yield (node := waiting.pop())
        new = {following for following, _ in node.next_functions if following is not None and following not in seen}
        seen |= new
        waiting += new


def leaf(node: Node) -> Tensor | None:
    """The parameter, or other leaf, whose gradient a node accumulates."""
    found: Tensor | None = getattr(node, "variable", None)
    return found


def parameters(roots: Iterable[Tensor]) -> Iterator[nn.Parameter]:
    """The parameters that the roots depend on."""
    return (found for node in nodes(roots) if isinstance(found := leaf(node), nn.Parameter))


def hides_parameters(node: Node) -> bool:
    """Whether what lies behind a node cannot be seen: the parameters of a reentrant checkpoint."""
    return node.name() == "CheckpointFunctionBackward"
