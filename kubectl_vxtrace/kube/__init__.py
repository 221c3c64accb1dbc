"""The Kubernetes edge: everything that talks to a cluster."""
