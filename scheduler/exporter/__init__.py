"""The node agent: reads a node's GPUs and who holds them, and publishes both as one GPUNode."""
