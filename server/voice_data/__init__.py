"""Contributions of recordings: looked at in a process of their own, taken in, exported for training."""
