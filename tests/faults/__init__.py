# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Faults that were tried on purpose, and what holds under them: README.md is the page."""
