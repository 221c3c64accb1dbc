"""A real Calico v3.30 (Felix, its CNI, VXLAN always) on three nodes of Kubernetes 1.34, kernel 6.18: what it said and what was captured,
healthy and under three faults, whole from the nodes' own words to the verdict."""
