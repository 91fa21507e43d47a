# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Real servers: `__main__.py` installs them, `checks.py` and `workers.py` run beside them."""
