"""A real Cilium 1.18.2 (VXLAN, three datapaths) on three nodes of Kubernetes 1.34, kernel 6.18: what a healthy network said and what was
captured there; its faults are made from that."""
