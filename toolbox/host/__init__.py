"""The operating system: processes, output records, ports, metrics; knows neither HTTP nor the wire."""
