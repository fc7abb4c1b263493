"""On which node a pod that stands alone goes: policies by name, and what fragmentation costs."""
