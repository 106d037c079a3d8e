"""Figures of reports.

- ``chart``: a figure as data: panels of series, and a story of findings and tables
- ``render``, ``styles``: PNG and SVG with matplotlib
- ``text``: figures as text, or their points as CSV; ``page``: reports as one HTML file
"""
