# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs whose stores, writers, followers and connections fail, one after the other."""
