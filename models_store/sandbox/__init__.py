"""Runs one task on untrusted files in a short-lived process that can do nothing but that task.

The process is given open descriptors instead of paths, so it needs no file system; before it reads the
first untrusted byte it gives up the network, new processes, new files and executable memory
(`confinement`), and its memory, processor time and output are limited. Its crash or death becomes an error
of the caller's.
"""

from models_store.sandbox.launcher import Outcome, ResourceLimits, SandboxFailure, run_confined

__all__ = ["Outcome", "ResourceLimits", "SandboxFailure", "run_confined"]
