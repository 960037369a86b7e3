"""What smaller and faster models cost: SNIPS in eight bits, in half precision, distilled, pruned, and apart."""
