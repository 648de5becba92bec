"""What the options of distill share."""
