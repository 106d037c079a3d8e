"""All readers as functions of bytes, with sound files to begin from.

A reader may take the bytes, or refuse them in one line (``SynthError``). Everything else is a fault.
"""

from faults.readers import models, records, reports, runs
from faults.readers.reader import Reader

READERS: dict[str, Reader] = {
    **records.READERS,
    **models.READERS,
    **reports.READERS,
    **runs.READERS,
}
