"""Benchmarks over the wire: the same workloads against one or two servers, beside bare baselines of the same run."""
