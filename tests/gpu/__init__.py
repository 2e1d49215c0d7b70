"""What only a GPU can show; without one each file is skipped."""
