# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The race against other libraries: `make bench`."""
