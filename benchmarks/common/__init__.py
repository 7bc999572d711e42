"""What the scripts share: the host's state, statistics, plots, servers and clients."""
