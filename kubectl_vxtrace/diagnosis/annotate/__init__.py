"""What is added to findings once each loss has its cause: the loss profile, the kernel's drops, sightings off the path,
client ports that the node rewrote."""
