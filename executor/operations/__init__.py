"""What podwire does: plan, apply, roll back, repair, collect."""
