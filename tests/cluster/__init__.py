"""A real Kubernetes on this machine: three nodes as namespaces, real kubelets, containerd, kube-proxy, CoreDNS and flannel."""
