# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""pydantic and FastAPI: `__main__.py` installs them, `checks.py` runs beside them."""
