# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`serve` and its page in a real browser: `__main__.py` has the checks."""
