"""The human sample of the demo: the first 24 topics of Python's own documentation, in the order of their
names, that have 800 to 2,500 characters. Every machine that has Python has them."""

import json
from pydoc_data.topics import topics

texts = {name: text for name, text in sorted(topics.items()) if 800 <= len(text) <= 2500}
for name, text in list(texts.items())[:24]:
    print(json.dumps({"id": name, "text": text}, ensure_ascii=False))
