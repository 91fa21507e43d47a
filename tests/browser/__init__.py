# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`serve` and its page in a real browser: `python -m tests.browser`, with Chromium at hand.

Not part of `make test`, which needs nothing but Python.
"""
