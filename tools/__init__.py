# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What maintains the repository, each run by `python -m tools.NAME`."""
