"""What a rehearsal of the first validation and the first step looks at."""
