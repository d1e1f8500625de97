"""The look for NaN and infinity, before a step and in an evaluation."""
