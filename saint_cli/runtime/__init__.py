"""The machine: device, threads, memory, temporary files, other processes."""
