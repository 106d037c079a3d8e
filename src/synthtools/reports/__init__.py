"""Reports: what they hold, and how a person reads them. No terminal, no options.

- ``document``: a report as JSON, read and written; what made it; tables and bars of characters
"""
