"""For every unit test: how long an example takes says more of the machine than of the code, so no property is timed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
