"""What everybody publishes, numbered; and how what is missing comes from whoever has it."""
