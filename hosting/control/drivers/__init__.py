"""One file per make: `obey(task)` gives the order and returns the machine's word, `identify(task)` its serial and MAC.

Both raise NotDone when the machine does not take it, and ProtocolError when there is no whole answer.
"""
