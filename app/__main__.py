"""`python -m app`: run the server, one process."""

from __future__ import annotations

import os
import sys

from app.log import set_up_logging
from app.server import serve
from app.settings import SettingsError, read_settings


def main() -> int:
    """Exit code: 0 after a drain, 1 when the server could not start, 2 when the environment is not fit."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    set_up_logging(settings.log_level, settings.secrets)
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
