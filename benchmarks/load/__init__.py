"""Load over HTTP: `voicecore bench` asks speech servers as many listeners would, and says how they bear it.

texts, workload    what is asked for
arrivals           when
adapters           in which server's words
client, fleet      by whom: processes of their own, each an event loop
playback, record   what came back, sample by sample
statistics         what that is worth to listeners
capacity           how much of it a server bears
campaign           which targets, loads and rounds, in which order
memory             whether it leaks meanwhile
plots, report      all of it on one page
"""
