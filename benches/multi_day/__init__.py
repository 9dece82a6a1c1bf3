"""An example: three projects over five days, each day in a new process, with a crash on one."""
