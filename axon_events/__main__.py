# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs the command line: `python -m axon_events`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
