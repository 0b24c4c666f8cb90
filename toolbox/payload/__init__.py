"""What the user's own interpreter runs around a program: Python 3.8 or newer, with none of our packages installed.

``start`` is the script of a fresh interpreter and of the fork server; ``server`` forks, ``worker`` is what it forks;
every program is executed by ``run``. ``hooks`` patches a plotting library when it is imported, ``capture`` decides when
a figure is reported, ``figures`` and ``plotly`` read it, ``sink`` writes the chart.
``children`` lets ``multiprocessing`` start children that execute the program again.
"""
