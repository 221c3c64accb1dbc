"""Names to flows, and kernels' tables to the hops that packets of a flow should take. Pure: no client, clock, file or socket."""
