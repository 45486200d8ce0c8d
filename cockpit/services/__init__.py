"""The running core: owns time, threads and state."""
