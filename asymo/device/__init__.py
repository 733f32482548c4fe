"""What the machine is: its cores, their types, the sets of them that a user can name."""
