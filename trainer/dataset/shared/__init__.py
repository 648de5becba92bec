"""What the options of dataset share."""
