"""Which GPUs of a node a pod gets, by how they are linked."""
