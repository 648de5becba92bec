"""sweep=answer: adds seeds until it is clear which strategy helps, or the budget is spent."""
