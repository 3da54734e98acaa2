"""What every measurement shares: processes, mounts, servers, gauges, timings and tables."""
