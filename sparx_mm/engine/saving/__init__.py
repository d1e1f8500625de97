"""What it takes to save a run so that nothing is lost, and to resume it exactly."""
