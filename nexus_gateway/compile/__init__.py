"""From a description to the plan that the core executes, and the checks at start."""
