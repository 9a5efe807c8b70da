"""Measurements of a recording: what a machine can say about a voice before anyone listens to it.

`measurements` names them all; every other module computes one group. No torch: it runs in a process of its
own, in the memory of a few blocks however long the recording is.
"""
