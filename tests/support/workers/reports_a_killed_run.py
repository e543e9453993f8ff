"""A server whose forked run was killed in its second epoch, and which keeps running."""

from speech import NO_PROCESS, next_order, say, say_epoch, say_ready, say_up_to_fit

say_ready()
while next_order() is not None:
    say_up_to_fit(NO_PROCESS, "fork")
    say_epoch(1, 0.5)
    say("exited", pid=NO_PROCESS, returncode=None, signal=9, peak_bytes=2**20, cpu_s=0.5)
