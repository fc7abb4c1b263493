"""The demonstration: three teams' work on a local cluster of fake GPU nodes, watched live and judged at its end."""
