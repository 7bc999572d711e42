"""How often a test of random cases repeats them.

Where a program is emulated a case takes ten to twenty times as long, and what differs there, the
CPU, differs in the first cases as in the last: `TERCET_REPEATS=0.05` leaves a twentieth of them.
"""

import os


def repeats(count: int) -> int:
    """`count` of cases, or the share of them that TERCET_REPEATS says; 1 at least."""
    return max(round(count * float(os.environ.get("TERCET_REPEATS", "1"))), 1)
