"""What is made out of a finished run for people and other tools."""
