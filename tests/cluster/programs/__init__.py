"""What runs inside the cluster's nodes: alone, without the rest of this package."""
