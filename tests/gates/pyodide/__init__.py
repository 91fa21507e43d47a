# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The tests in WebAssembly: `__main__.py` starts them, `suite.py` runs inside."""
