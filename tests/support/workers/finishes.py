"""Pretends to train every plan that it gets, without taking any time."""

from speech import NO_PROCESS, next_order, say, say_epoch, say_ready, say_up_to_fit

say_ready()
while (order := next_order()) is not None:
    say_up_to_fit(NO_PROCESS, "fork")
    for number in range(1, order["spec"]["training"]["epochs"] + 1):
        say_epoch(number, 1.0 / number)
    say("trained", seconds=1.5)
    say("phase", name="evaluate")
    say("evaluated", seconds=0.1, loss=0.25, metrics={"accuracy": 0.75})
    say("finished")
    say("exited", pid=NO_PROCESS, returncode=0, signal=None, peak_bytes=2**20, cpu_s=0.5)
