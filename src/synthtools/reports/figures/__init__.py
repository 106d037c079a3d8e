"""Figures of reports.

- ``chart``: a figure as data: panels of series, and a story of findings and tables
- ``render``, ``styles``: PNG and SVG by matplotlib
- ``text``: a figure of characters, or its points as CSV; ``page``: reports as one HTML file
"""
