"""What runs in the user's interpreter around a program: any Python from 3.8 on, importing nothing of toolbox.

``start`` starts a fresh interpreter, ``server`` is the fork server; both end in ``run``. ``hooks`` detects the import
of a plotting library, ``capture`` decides when a figure is reported, ``figures`` and ``plotly`` read figures, ``sink``
writes them.
"""
