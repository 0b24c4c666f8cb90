"""The daemon's own endpoints: version, environment, metrics, ports, health."""
