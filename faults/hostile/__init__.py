"""Models, records and prompts that mean harm: nothing executes, nothing leaves the output directory.

models.py        directories of a model: pickles, code, links, templates
records.py       names of fields, depth, numbers, surrogates, markup
judges.py        answers that order the judge about
dependencies.py  known vulnerabilities of what is installed
"""
