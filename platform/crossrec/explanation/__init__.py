"""Why an item is where it is, in figures that add up."""
