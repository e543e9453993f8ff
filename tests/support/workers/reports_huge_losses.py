"""Reports losses that are larger than any float32, and that no figure can show, for every plan that it
gets.
"""

from speech import NO_PROCESS, next_order, say, say_epoch, say_ready, say_up_to_fit

say_ready()
while next_order() is not None:
    say_up_to_fit(NO_PROCESS, "fork")
    for number, loss in enumerate((1.0, 1e300), 1):
        say_epoch(number, loss)
    say("trained", seconds=1.5)
    say("phase", name="evaluate")
    say("evaluated", seconds=0.1, loss=0.25, metrics={"accuracy": 0.75})
    say("finished")
    say("exited", pid=NO_PROCESS, returncode=0, signal=None, peak_bytes=2**20, cpu_s=0.5)
