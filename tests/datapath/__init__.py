"""The lab's network: real namespaces, VXLAN devices, NAT rules, servers, and faults to switch on."""
