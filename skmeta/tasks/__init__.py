"""From what users pass as tasks to tensors of episodes."""
