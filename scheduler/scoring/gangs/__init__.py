"""Where the pods of a gang go: greedy, bounds, and the solver."""
