"""How many builders a batch system should run for the jobs that wait, and how it starts them."""
