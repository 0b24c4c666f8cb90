"""What the user's own interpreter runs around a program: any Python from 3.8 on, with nothing of ours installed.

``start`` begins a fresh interpreter, ``server`` keeps one that forks; both end in ``run``. ``hooks`` notices when a
plotting library is imported, ``capture`` decides when a figure is reported, ``figures`` and ``plotly`` read them.
"""
