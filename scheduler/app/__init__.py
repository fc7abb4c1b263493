"""The running service: wires state, planner, effects and servers together."""
