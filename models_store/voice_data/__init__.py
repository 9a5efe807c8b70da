"""Contributed recordings: what was declared about them, the ledger of it, and the files as they came."""
