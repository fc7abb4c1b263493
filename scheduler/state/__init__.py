"""Events in, snapshots out: what is believed of the cluster, and its audit."""
