"""What the options of augmentation share."""
