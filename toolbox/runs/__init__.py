"""What runs for a user: one ``Run`` for every kind, the registry of all of them, and the children we supervise.

Between the domains and ``host/``: it knows neither HTTP nor any domain.
"""
